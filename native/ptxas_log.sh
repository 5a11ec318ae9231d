# sh ptxas_log.sh nvcc … -o x.o …: runs the compiler, and keeps what it says in x.o.log.
output=
for word; do
  [ "$before" = -o ] && output=$word
  before=$word
done
[ -n "$output" ] || exec "$@"
"$@" >"$output.log" 2>&1
status=$?
[ $status -eq 0 ] || cat "$output.log" >&2
exit $status
