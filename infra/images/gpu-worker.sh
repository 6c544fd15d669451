#!/bin/bash
# Make the workspace of this worker, with its DVC remote, and do what is asked in it.
set -euo pipefail
ECCLIP_WORKSPACE=/opt/ecclip ecclip workspace "$ECCLIP_WORKSPACE" --remote "${DVC_REMOTE:?name the URL or path of the DVC remote}"
exec "$@"
