"""People look at a night's answers and say what is right: a page on loopback, and files for those who work elsewhere.

What they say is kept by :mod:`ecclip.formats.corrections`; the stage ``publish`` puts it into the next night. Nothing
is imported here: the command line names the commands without what they need.
"""

__all__ = ["commands", "desk", "drawing", "files"]
