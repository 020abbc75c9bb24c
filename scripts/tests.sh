# How check and matrix run tests, for them to source.

step() { echo "== $*"; }

# tests DIR … runs go test in a module. Tests that fail are run once more, alone, and named at
# the end: one that passes then depends on how busy the machine is, which is a fault of the test
# and no reason to stop. Whatever fails twice, or is no test's failure, fails.
unsteady=()
tests() {
  local dir=$1 log packages names
  shift
  log=$(mktemp)
  if $GO test -C "$dir" "$@" 2>&1 | tee "$log"; then rm -f "$log"; return; fi
  packages=$(sed -n 's/^FAIL\t\(holdfast[^ \t]*\).*/\1/p' "$log" | sort -u)
  names=$(sed -n 's/^--- FAIL: \([A-Za-z0-9_]*\).*/\1/p' "$log" | sort -u)
  if [ -z "$packages" ] || [ -z "$names" ] || grep -q -e '^panic: ' -e 'build failed' -e 'DATA RACE' "$log"; then rm -f "$log"; return 1; fi
  rm -f "$log"
  step "once more:" $names
  $GO test -C "$dir" -count 1 -p 1 -timeout 20m -run "^($(paste -sd '|' <<<"$names"))\$" $packages || return 1
  unsteady+=($names)
}

tell_unsteady() {
  [ ${#unsteady[@]} = 0 ] || echo "These failed once and passed when run again: ${unsteady[*]}"
}
