# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts share: the kernel asked for, messages, long steps, locks.

unset CDPATH
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOGS=$TOP/build/log
ME=${0##*/}

# What a machine or a caller has set must not change what is built: messages are
# read, files are for the guest too, and a kernel's make takes variables from ours.
export LC_ALL=C.UTF-8
umask 022
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL GNUMAKEFLAGS
[ -z "${TMPDIR:-}" ] || { [ -d "$TMPDIR" ] && [ -w "$TMPDIR" ]; } || unset TMPDIR
# The repository may be another user's: a container's, or a CI's.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$TOP

say()
{
	printf '%s: %s\n' "$ME" "$*" >&2
}

die()
{
	say "$@"
	exit 1
}

# kernel_line [X.Y]: its line of KERNELS, or of the default kernel.
kernel_line()
{
	awk -v want="${1:-}" '
		/^#/ || NF < 4 { next }
		want == $1 || (want == "" && $5 ~ /default/) { print; exit }
	' "$TOP/KERNELS"
}

# all_kernels: the series of KERNELS, the one asked for (or the default) first.
all_kernels()
{
	local first

	first=$(kernel_line "${KERNEL:-}" | awk '{ print $1 }')
	[ -n "$first" ] || die "kernel ${KERNEL:-} is not in KERNELS"
	echo "$first"
	awk -v first="$first" '!/^#/ && NF >= 4 && $1 != first { print $1 }' "$TOP/KERNELS"
}

# use_kernel [X.Y]: sets SERIES, PACKAGE, FOUND_IN, KDIR (build/X.Y) and SRC.
# shellcheck disable=SC2034
use_kernel()
{
	local line

	line=$(kernel_line "${1:-${KERNEL:-}}")
	[ -n "$line" ] || die "kernel ${1:-${KERNEL:-}} is not in KERNELS"
	read -r SERIES PACKAGE FOUND_IN _ <<<"$line"
	KDIR=$TOP/build/$SERIES
	SRC=$KDIR/src
}

# with_lock FILE COMMAND...: one at a time; says whom it waits for.
with_lock()
{
	local file=$1

	shift
	mkdir -p "$(dirname "$file")" 2>/dev/null
	{ : >>"$file"; } 2>/dev/null || die "no permission to write ${file#"$TOP"/} (built by another user?)"
	(
		flock -n 9 || {
			say "waiting for another job that holds ${file#"$TOP"/}"
			flock 9
		}
		"$@" 9>&-
	) 9>>"$file"
}

# step NAME "progress command" COMMAND...
#
# Runs a long command with its output in build/log/NAME.log, prints a line of
# progress every ten seconds, and on failure says which step and why.  It is a
# process group of its own, and ends with us: nothing goes on without its lock.
step()
{
	local name=$1 progress=$2 log=$LOGS/$1.log start=$SECONDS pid rc last

	shift 2
	mkdir -p "$LOGS"
	set -m
	# On a terminal it is in the background, and must not be stopped for that.
	( trap '' TTIN TTOU; "$@" ) >"$log" 2>&1 </dev/null &
	set +m
	pid=$!
	# shellcheck disable=SC2064
	trap "end_step $pid" INT TERM HUP
	last=$SECONDS
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if [ $((SECONDS - last)) -ge 10 ]; then
			last=$SECONDS
			say "$name: $((SECONDS - start)) s${progress:+, $(eval "$progress")}"
		fi
	done
	rc=0
	wait "$pid" || rc=$?
	trap - INT TERM HUP
	[ "$rc" -eq 0 ] && return 0
	say "$name failed ($rc) after $((SECONDS - start)) s; the end of ${log#"$TOP"/}:"
	# The first errors say more than the last lines of a parallel build.
	grep -nE '(error|fatal|undefined reference|\*\*\*)' "$log" | head -20 >&2 || true
	tail -n 15 "$log" >&2
	return "$rc"
}

# end_step PID: end its process group, and us.
end_step()
{
	local i

	trap '' INT TERM HUP
	kill -- "-$1" 2>/dev/null
	for ((i = 0; i < 25; i++)); do
		kill -0 -- "-$1" 2>/dev/null || break
		sleep 0.2
	done
	kill -KILL -- "-$1" 2>/dev/null
	wait "$1" 2>/dev/null
	exit 130
}

# mirror CODENAME: the machine's own mirror of a suite that it already uses.
mirror()
{
	local uri

	uri=$(known_mirror "$1")
	if [ -z "$uri" ] && [ "$(id -u)" -eq 0 ]; then
		# The lists may be gone, as in the image of a container.
		step apt-update '' apt-get -q update || true
		uri=$(known_mirror "$1")
	fi
	echo "$uri"
}

# Debian's own, not that of a third party which has named its suite alike.
known_mirror()
{
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(CODENAME) $(REPO_URI) $(ORIGIN)/$(LABEL)' |
		awk -v suite="$1" '
			{ owner = $0; sub(/^[^ ]* [^ ]* ?/, "", owner) }
			$1 == suite && owner ~ /^(Debian\/Debian|\/|)$/ && !found { print $2; found = 1 }'
}

# fetch DIR URI SUITE HAVE PACKAGE...: download these packages of that suite into
# DIR, unless the first is no newer than HAVE; the machine's package lists and
# sources stay as they are.  Returns 3 if the suite has no such package.
fetch()
{
	local dir=$1 uri=$2 suite=$3 have=$4 new opt
	local keys=/usr/share/keyrings/debian-archive-keyring.gpg

	shift 4
	rm -rf "$dir" && mkdir -p "$dir"/{lists/partial,cache,new} &&
	echo "deb [signed-by=$keys] $uri $suite main" >"$dir/sources.list" || return
	opt=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
	     -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache::pkgcache=$dir/cache/pkg.bin"
	     -o "Dir::Cache::srcpkgcache=$dir/cache/src.bin" -o APT::Sandbox::User=root)
	# Else an update that could not be had is a success.
	apt-get -q "${opt[@]}" -o APT::Update::Error-Mode=any update || return
	new=$(apt-cache "${opt[@]}" show --no-all-versions "$1" | sed -n 's/^Version: //p')
	if [ -z "$new" ]; then
		echo "$suite has no $1 any more"
		return 3
	fi
	[ -z "$have" ] || dpkg --compare-versions "$new" gt "$have" || return 0
	( cd "$dir" && apt-get -q "${opt[@]}" download "$@" )
}

# find_qemu: sets QEMU (array), the one in build/qemu before the machine's.
# shellcheck disable=SC2034
find_qemu()
{
	local own=$TOP/build/qemu

	if [ -x "$own/usr/bin/qemu-system-x86_64" ]; then
		QEMU=("$own/usr/bin/qemu-system-x86_64"
		      -L "$own/usr/share/qemu" -L /usr/share/seabios)
	else
		QEMU=(qemu-system-x86_64)
	fi
}

# qemu_major COMMAND...: its major version, 0 if it does not run.
qemu_major()
{
	local v

	v=$("$@" --version 2>/dev/null | sed -nE '1s/.*version ([0-9]+).*/\1/p') || true
	echo "${v:-0}"
}
