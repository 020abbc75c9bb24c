#!/bin/sh
# A job that one machine does at a time, by the tool alone. Prints:
#   token
#   code 3
set -eu
holdfast lock run nightly -- sh -c '
  test "$HOLDFAST_TOKEN" -gt 0 && echo token
  code=0
  holdfast lock run nightly --nonblock -- true 2>/dev/null || code=$?
  echo "code $code"
'
