#!/bin/sh
# A worker in sh: exit 0 is done, 75 again, 65 never again. Prints:
#   got hello, try 1
#   got hello, try 2
set -eu
holdfast queue publish greetings hello --unique hello-1 >/dev/null
timeout 60 holdfast queue work greetings --quiet --backoff 10ms -- sh -c '
  echo "got $(cat), try $HOLDFAST_TASK_TRY"
  if [ "$HOLDFAST_TASK_TRY" -lt 2 ]; then exit 75; fi
  kill -TERM $(ps -o ppid= -p $$)
' 2>/dev/null
