# SPDX-License-Identifier: GPL-2.0
"""Hooks, hunk by hunk: where one fits, and what it makes of a file.

A hunk of a hook patch is stored with the lines around it, and finds its place by
them alone: there must be exactly one.  Line numbers are for people.
"""

import re

# As many lines around a change as are kept if every kernel has them
CONTEXT = 3


class Hunk:
	"""Changes of one file that stand together, and the lines around them."""

	def __init__(self, file, body, start=0, section=''):
		self.file = file
		self.body = body
		self.start = start
		self.section = section

	@property
	def before(self):
		return [b[1:] for b in self.body if b[0] != '+']

	@property
	def after(self):
		return [b[1:] for b in self.body if b[0] != '-']

	def trimmed(self, above, below):
		"""The same change with at most so many lines around it."""
		head = tail = 0
		while self.body[head][0] == ' ':
			head += 1
		while self.body[-1 - tail][0] == ' ':
			tail += 1
		cut = max(0, head - above)
		end = len(self.body) - max(0, tail - below)
		return Hunk(self.file, self.body[cut:end], self.start + cut, self.section)

	def places(self, lines):
		"""Every index of lines at which its old text stands."""
		want = self.before
		first = want[0] if want else None
		return [i for i in range(len(lines) - len(want) + 1)
			if want and lines[i] == first and lines[i:i + len(want)] == want]

	def edits(self, at):
		"""What it does if it is placed there: (index, lines that go, lines that come)."""
		found = []
		gone, new = 0, []
		for b in self.body:
			if b[0] == ' ':
				if gone or new:
					found.append((at - gone, gone, tuple(new)))
				gone, new = 0, []
				at += 1
			elif b[0] == '-':
				gone += 1
				at += 1
			else:
				new.append(b[1:])
		if gone or new:
			found.append((at - gone, gone, tuple(new)))
		return found

	def added(self):
		"""The lines that come."""
		return [b[1:] for b in self.body if b[0] == '+']

	def text(self):
		old, new = len(self.before), len(self.after)
		return '@@ -%d,%d +%d,%d @@%s\n%s\n' % (
			self.start, old, self.start, new,
			' ' + self.section if self.section else '', '\n'.join(self.body))

	def __str__(self):
		return '%s:%d%s' % (self.file, self.start,
				    ' (%s)' % self.section if self.section else '')


def parse(diff):
	"""The hunks of a unified diff, in order."""
	found = []
	file = None
	old = new = 0
	for line in diff.split('\n'):
		m = re.match(r'@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@ ?(.*)', line)
		if old > 0 or new > 0:
			if line[:1] not in (' ', '+', '-'):
				raise ValueError('a hunk of %s is shorter than its @@ says' % file)
			found[-1].body.append(line)
			old -= line[0] != '+'
			new -= line[0] != '-'
		elif line.startswith('+++ '):
			file = line.split()[1].split('/', 1)[1]
		elif m:
			old, new = (int(m.group(i) or 1) for i in (2, 3))
			found.append(Hunk(file, [], int(m.group(1)), m.group(4).strip()))
		elif line.startswith('\\'):
			raise ValueError('%s has no newline at its end' % file)
		elif file and line[:1] in (' ', '+', '-') and not line.startswith('--- '):
			raise ValueError('a hunk of %s is longer than its @@ says' % file)
	return found


def write(hunks):
	"""A unified diff of these hunks, ordered by file and line."""
	text = ''
	file = None
	for h in sorted(hunks, key=lambda h: (h.file, h.start)):
		if h.file != file:
			file = h.file
			text += '--- a/%s\n+++ b/%s\n' % (file, file)
		text += h.text()
	return text


def begin(lines, at):
	"""The index of the line that begins the function or struct of that line, or None."""
	for i in range(min(at, len(lines)) - 1, -1, -1):
		if re.match(r'[A-Za-z_$]', lines[i]) and not re.match(r'\w+:', lines[i]):
			return i
	return None


def heading(lines, at):
	"""That line."""
	i = begin(lines, at)
	return '' if i is None else lines[i].rstrip()


def section(lines, at):
	"""The same, much as diff -p shows it."""
	return heading(lines, at)[:40].rstrip()


def called(text):
	"""The name before the first parenthesis, None if there is none."""
	m = re.match(r'[^(=]*?(\w+)\s*\(', text)
	return m.group(1) if m else None


def function(lines, at):
	"""The name of the function in which that line stands, None outside of any."""
	i = begin(lines, at)
	name = None if i is None else called(lines[i])
	for line in lines[i:at] if name else ():
		if line.startswith('{'):
			return name
		if line.endswith(';'):
			return None
	return None


def elsewhere(hunk, lines, at):
	"""True if the hunk, placed there, would be in another function than its @@ says."""
	here = function(lines, hunk.edits(at)[0][0])
	there = called(hunk.section)
	return bool(here and there and here != there)


def clash(a, b):
	"""True if both edits change one line, or insert at one place."""
	return a[0] == b[0] or (a[0] < b[0] + b[1] and b[0] < a[0] + a[1])


def apply(lines, edits):
	"""The lines after these edits, of which no two clash."""
	lines = list(lines)
	for at, gone, new in sorted(edits, reverse=True):
		lines[at:at + gone] = new
	return lines


def make(file, lines, edits, context=CONTEXT):
	"""Hunks of these edits; near ones share a hunk."""
	found = []
	group = []
	for e in sorted(edits) + [None]:
		if group and (e is None or e[0] - (group[-1][0] + group[-1][1]) > 2 * context):
			first, last = group[0][0], group[-1][0] + group[-1][1]
			at = max(0, first - context)
			body = []
			begin = at
			for where, gone, new in group:
				body += [' ' + x for x in lines[at:where]]
				body += ['-' + x for x in lines[where:where + gone]]
				body += ['+' + x for x in new]
				at = where + gone
			body += [' ' + x for x in lines[last:last + context]]
			found.append(Hunk(file, body, begin + 1, section(lines, first)))
			group = []
		if e is not None:
			group.append(e)
	return found


def fit(hunk, sources):
	"""That hunk with as much context as lets it fit at one place of each source.

	sources are the lines of its file in each kernel.  It must stand in the same
	function everywhere; with less than CONTEXT lines, in the very same place of a
	struct or table, too.  None if it does not fit.
	"""
	sizes = range(CONTEXT, 0, -1)
	for above, below in sorted(((a, b) for a in sizes for b in sizes), key=sum, reverse=True):
		h = hunk.trimmed(above, below)
		places = [h.places(lines) for lines in sources]
		if any(len(p) != 1 for p in places):
			continue
		at = [h.edits(p[0])[0][0] for p in places]
		if len({function(lines, i) for lines, i in zip(sources, at)}) > 1:
			continue
		if above == below == CONTEXT or \
		   len({heading(lines, i) for lines, i in zip(sources, at)}) == 1:
			return h
	return None


def guess(hunk, lines):
	"""Where it may belong: (index, how many of its old lines stand near there)."""
	want = [w.strip() for w in hunk.before if w.strip() not in ('', '{', '}', 'break;', '*/')]
	best = (0, 0)
	window = len(hunk.before) + 6
	spots = {}
	for i, line in enumerate(lines):
		spots.setdefault(line.strip(), []).append(i)
	for at in {max(0, i - 2) for w in want for i in spots.get(w, ())}:
		near = {x.strip() for x in lines[at:at + window]}
		hits = sum(w in near for w in want)
		if hits > best[1]:
			best = (at, hits)
	return best
