# machine.sh DIR COMMAND...: run COMMAND while standard input is open. When it is closed, or COMMAND is over, however that
# came, no process of it is left and DIR is gone.
dir=$1
shift
trap '' INT TERM HUP PIPE
"$@" </dev/null &
while kill -0 $! 2>/dev/null; do
    read -r -t 1 _ || [ $? -gt 128 ] || break # above 128: nothing said for a second
done
kill -KILL $! 2>/dev/null
wait
rm -rf "$dir"
