#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in the guest: what the KUnit suites of copy offload found when the kernel
# booted, one line per test case.

SUITES='token split limits fold async'
KUNIT=/sys/kernel/debug/kunit
n=0
failed=0

# result "ok"|"not ok" NAME: one line of KTAP.
result()
{
	n=$((n + 1))
	echo "$1 $n - $2"
	[ "$1" = ok ] || failed=1
}

# suite NAME: its cases; the rows of a table and other details only if one failed.
suite()
{
	local file=$KUNIT/blk_copy_$1/results line plan=0 seen=0 detail=()

	if ! [ -r "$file" ]; then
		echo "# no $file: is CONFIG_BLK_COPY_KUNIT_TEST set?"
		result "not ok" "$1: results"
		return
	fi
	while IFS= read -r line; do
		if [[ $line =~ ^'    1..'([0-9]+)$ ]]; then
			plan=${BASH_REMATCH[1]}
		elif [[ $line =~ ^'    '(ok|'not ok')' '[0-9]+' '(.+)$ ]]; then
			seen=$((seen + 1))
			[ "${BASH_REMATCH[1]}" = ok ] || printf '#%s\n' "${detail[@]}"
			result "${BASH_REMATCH[1]}" "$1: ${BASH_REMATCH[2]}"
			detail=()
		else
			detail+=("$line")
		fi
	done <"$file"
	if [ "$plan" -eq 0 ] || [ "$plan" -ne "$seen" ]; then
		echo "# $seen results, $plan planned"
		result "not ok" "$1: plan"
	fi
}

echo "TAP version 13"
for s in $SUITES; do
	suite "$s"
done
echo "1..$n"
exit "$failed"
