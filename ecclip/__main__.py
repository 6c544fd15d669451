"""``python -m ecclip`` is the command ``ecclip``."""

from ecclip.cli import main

main()
