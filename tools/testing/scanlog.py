#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""scanlog FILE...: print the lines of guests' kernel logs that no test lets pass.

Exit status 0 only if each log was read, is not empty, and has no such line.
"""

import re
import signal
import sys

BAD_LOG = re.compile(r'''
	\bBUG\b[:\ ] | \bWARNING: | \bOops\b | \bKASAN: | \bUBSAN: |
	Kernel\ panic | general\ protection\ fault | refcount_t: |
	list_(add|del)\ corruption | DEBUG_LOCKS_WARN | double\ free |
	possible\ (circular|recursive)\ locking | possible\ irq\ lock\ inversion |
	inconsistent\ lock\ state | held\ lock\ freed | bad\ unlock\ balance |
	still\ held | Invalid\ wait\ context | suspicious\ RCU |
	sleeping\ function\ called | scheduling\ while\ atomic |
	INFO:\ task\ .*\ blocked | rcu.*detected\ stalls? | soft\ lockup |
	workqueue\ lockup | kmemleak:\ .*disabled | non-static\ key |
	turning\ off\ the\ locking | Disabling\ lock\ debugging
	''', re.X)


def read(path):
	with open(path, errors='replace') as f:
		return [line.rstrip('\r\n') for line in f]


def explained(lines, filters):
	"""Does a filter match, from the first line on?  Later ones say what it is about."""
	text = '\n'.join(lines[:5])
	matches = (p.search(text) for p in filters)
	return any(m and m.start() < len(lines[0]) for m in matches)


def bad_lines(lines, filters=()):
	"""Indices of the bad lines, less those that a filter explains."""
	found = []
	for i, line in enumerate(lines):
		if BAD_LOG.search(line) and not explained(lines[i:], filters):
			found.append(i)
	return found


def main(paths):
	if not paths or paths[0] in ('-h', '--help'):
		print(__doc__)
		return 0 if paths else 2
	rc = 0
	for path in paths:
		try:
			lines = read(path)
		except OSError as e:
			print('scanlog: %s' % e)
			rc = 2
			continue
		if not any(lines):
			print('scanlog: %s is empty' % path)
			rc = 2
		for i in bad_lines(lines):
			print(lines[i])
			rc = rc or 1
	return rc


if __name__ == '__main__':
	# Who reads may go before the end.
	signal.signal(signal.SIGPIPE, signal.SIG_DFL)
	sys.exit(main(sys.argv[1:]))
