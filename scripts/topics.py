# SPDX-License-Identifier: GPL-2.0
"""How hooks and our files are cut into the series that is posted.

patches/topics says it: a section for each patch, in order.

  [name]
  hooks: NNNN-topic [glob...]   a hook patch, or only these of its files
  files: glob...                files of ours
                                (both as often as needed)

  Subject of the patch

  Its body.  Without subject and body those of the hook patch are taken.

Before the first section, "grows: file..." names Makefiles and Kconfig files of
ours that each patch extends by what it brings; see grow().
"""

import fnmatch
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

import tree

TOPICS = os.path.join(tree.TOP, 'patches', 'topics')
COVER = os.path.join(tree.TOP, 'patches', 'cover-letter')
GUIDE = os.path.join(tree.TOP, 'Documentation', 'carrying.rst')

# What an export consists of; nothing else is ever removed
OUTPUT = re.compile(r'\d{4}-[\w.-]+\.patch$|series$|combined\.patch$|carrying\.rst$|\.exported$')

# What an export wrote, by which the next one tells what people have edited
LIST = '.exported'

# Two exports of the same input have the same bytes.
GIT_ENV = {
	'GIT_CONFIG_GLOBAL': '/dev/null', 'GIT_CONFIG_SYSTEM': '/dev/null',
	'GIT_AUTHOR_DATE': '@0 +0000', 'GIT_COMMITTER_DATE': '@0 +0000',
	'GIT_AUTHOR_NAME': tree.AUTHOR.split(' <')[0],
	'GIT_AUTHOR_EMAIL': tree.AUTHOR.split('<')[1].rstrip('>'),
	'GIT_COMMITTER_NAME': 'export', 'GIT_COMMITTER_EMAIL': 'export@localhost',
	'LC_ALL': 'C.UTF-8', 'TZ': 'UTC',
}
DIFF = ('--no-renames', '--full-index', '--no-color', '--no-ext-diff', '--diff-algorithm=myers')


class Topic:
	"""One patch of the series: what it takes, and its text."""

	def __init__(self, name):
		self.name = name
		self.hooks = []		# (name of the hook patch, globs or nothing)
		self.globs = []
		self.message = ''
		self.author = tree.AUTHOR
		self.edits = []		# (hook patch, file)
		self.ours = []

	def paths(self):
		return [f for _, f in self.edits] + self.ours


def parse():
	"""The sections of patches/topics, and the files that grow."""
	found = []
	grows = []
	head = True
	for n, line in enumerate(tree.read(TOPICS).decode().splitlines(), 1):
		m = re.match(r'\[([a-z0-9-]+)\]$', line)
		key = re.match(r'(hooks|files|grows):\s*(.*)', line)
		if m:
			if any(t.name == m.group(1) for t in found):
				raise tree.Failure('patches/topics:%d: a second [%s]' % (n, m.group(1)))
			found.append(Topic(m.group(1)))
			head = True
		elif head and key and (key.group(1) == 'grows') == (not found):
			words = key.group(2).split()
			if key.group(1) == 'grows':
				grows += words
			elif key.group(1) == 'files':
				found[-1].globs += words
			elif words:
				found[-1].hooks.append((words[0].removesuffix('.patch') + '.patch',
							words[1:]))
		elif found:
			# The text begins behind an empty line.
			if head and line.strip():
				raise tree.Failure('patches/topics:%d: what is "%s"?' % (n, line))
			head = False
			found[-1].message += line + '\n'
		elif line.strip() and not line.startswith('#'):
			raise tree.Failure('patches/topics:%d: what is "%s"?' % (n, line))
	return found, grows


def matches(name, globs):
	return any(fnmatch.fnmatchcase(name, g) for g in globs)


def complete(topic, patches):
	"""Subject, body and author: the topic's own, or those of its hook patch."""
	text = topic.message.strip('\n')
	where = 'patches/topics: [%s]' % topic.name
	if not text:
		mine = [p for p in patches if p.name in [name for name, _ in topic.hooks]]
		if len(mine) != 1:
			raise tree.Failure(where + ' needs a subject and a body')
		where = 'patches/common/' + mine[0].name
		head, _, body = mine[0].header.partition('\n\n')
		m = re.search(r'^Subject:\s*(?:\[[^]]*\]\s*)?(.*)', head, re.M)
		if not m:
			raise tree.Failure('%s has no subject' % mine[0].name)
		text = m.group(1) + '\n\n' + re.sub(r'\n---\s*$', '', body.strip('\n'))
		m = re.search(r'^From:\s*(.* <.*>)', head, re.M)
		topic.author = m.group(1) if m else tree.AUTHOR
	subject, _, body = text.partition('\n')
	if body.startswith('\n') and body.strip():
		topic.message = subject + '\n\n' + body.strip('\n') + '\n'
		return
	raise tree.Failure(where + ' needs a subject, an empty line and a body')


def assign(patches, ours):
	"""Give each hooked file and each file of ours to the one topic that names it."""
	topics, grows = parse()
	owner = {}

	def take(name, topic):
		if name in owner:
			raise tree.Failure('patches/topics: %s is in [%s] and in [%s]' %
					   (name, owner[name], topic.name))
		owner[name] = topic.name

	everywhere = {}
	for k in tree.kernels():
		for p in tree.series(k, compose=False):
			everywhere.setdefault(p.name, set()).update(p.files)
	for t in topics:
		for name, some in t.hooks:
			if name not in everywhere:
				raise tree.Failure('patches/topics: [%s]: there is no hook %s' % (t.name, name))
			for g in some:
				if not any(fnmatch.fnmatchcase(f, g) for f in everywhere[name]):
					raise tree.Failure('patches/topics: [%s]: %s has no file %s' %
							   (t.name, name, g))
		for p in patches:
			globs = [g for name, some in t.hooks if name == p.name for g in some or ['*']]
			for f in p.files:
				if matches(f, globs):
					take(f, t)
					t.edits.append((p, f))
		for g in t.globs:
			if not any(fnmatch.fnmatchcase(f, g) for f in ours):
				raise tree.Failure('patches/topics: [%s]: no file of ours is %s' %
						   (t.name, g))
		t.ours = [f for f in ours if matches(f, t.globs)]
		for f in t.ours:
			take(f, t)
	lost = [f for p in patches for f in p.files if f not in owner] + \
		[f for f in ours if f not in owner]
	if lost:
		raise tree.Failure('patches/topics: no section names: ' + ' '.join(lost))
	for f in grows:
		if f not in ours:
			raise tree.Failure('patches/topics: grows: %s is no file of ours' % f)
	# A topic of another kernel only has nothing here.
	topics = [t for t in topics if t.paths()]
	for t in topics:
		complete(t, patches)
	return topics, grows


def part(patch, name):
	"""What a hook patch does to one file."""
	pieces = re.split(r'^(?=(?:diff .*\n(?:[a-z].*\n)*)?--- \S+.*\n\+\+\+ )', patch.diff, flags=re.M)
	return ''.join(s for s in pieces if re.search(r'^\+\+\+ [^/]+/%s(\s|$)' % re.escape(name), s, re.M))


def grow(name, text, have, options):
	"""A Makefile or Kconfig file of ours, as far as the series has come.

	A line of a Makefile that names objects is there if all of their sources are
	(have), and a config of a Kconfig file if such a line names it; options collects
	these names.  So objects that only link together stand on one line.
	"""
	if os.path.basename(name).startswith('Kconfig'):
		pieces = re.split(r'^(?=config )', text, flags=re.M)
		kept = [s for s in pieces
			if not s.startswith('config ') or s.split()[1] in options]
		return re.sub(r'\n+$', '\n', ''.join(kept))
	kept = []
	for line in text.splitlines(keepends=True):
		# An object may have settings of its own, CONTEXT_ANALYSIS_name.o := n
		objects = [] if line.startswith('#') else \
			re.findall(r'(?:^|\s)(?:[A-Z]+_[A-Z_]*)?(\S+?\.o)\b', line)
		if line.rstrip('\n').endswith('\\'):
			raise tree.Failure('%s: a file that grows has no continued lines' % name)
		if all(os.path.join(os.path.dirname(name), o[:-2] + '.c') in have for o in objects):
			options.update(re.findall(r'\$\(CONFIG_(\w+)\)', line))
			kept.append(line)
	return ''.join(kept)


def git(where, *args, **kw):
	r = subprocess.run(['git', '-C', where, '-c', 'core.safecrlf=false', *args], text=True,
			   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
			   env=dict({v: s for v, s in os.environ.items() if not v.startswith('GIT_')},
				    **GIT_ENV), **kw)
	if r.returncode:
		raise tree.Failure('git %s: %s' % (args[0], r.stdout.strip()))
	return r.stdout


def bare(k, names, where):
	"""A git repository with these files of the bare kernel, and nothing else."""
	os.makedirs(where)
	git(where, '-c', 'init.defaultBranch=series', 'init', '-q', '--template=')
	for name in names:
		if not os.path.isfile(os.path.join(k.pristine, name)):
			raise tree.Failure('Linux %s has no %s' % (k.version(), name))
		tree.put(os.path.join(k.pristine, name), os.path.join(where, name))
	git(where, 'add', '-f', '.')
	git(where, 'commit', '-q', '--allow-empty', '-m', 'Linux ' + k.version())


def commits(k, topics, grows, where):
	"""A commit for each topic on top of the bare kernel."""
	have = set()
	bare(k, sorted({f for t in topics for _, f in t.edits}), where)
	for t in topics:
		for p, name in t.edits:
			r = tree.patch(part(p, name), where)
			if r.returncode:
				raise tree.Failure('%s: [%s]: %s' % (p.name, t.name, r.stdout))
		for name in t.ours:
			tree.put(os.path.join(tree.TOP, name), os.path.join(where, name))
		have.update(t.ours)
		options = set()
		# Makefiles first: they tell which options there are.
		for name in sorted(grows, key=lambda f: os.path.basename(f).startswith('Kconfig')):
			if name in have:
				text = tree.read(os.path.join(tree.TOP, name)).decode()
				with open(os.path.join(where, name), 'w') as f:
					f.write(grow(name, text, have, options))
		git(where, 'add', '-f', '-A', '.')
		git(where, 'commit', '-q', '--cleanup=verbatim', '--author=' + t.author,
		    '-F', '-', input=t.message)
	for name in grows:
		if not tree.same(os.path.join(where, name), os.path.join(tree.TOP, name)):
			raise tree.Failure('patches/topics: %s does not grow into what it is' % name)


def cover(k, where, count):
	"""The cover letter: a template with the list, the size and the base filled in."""
	names = git(where, 'log', '--reverse', '--format=%s', '--max-count=%d' % count)
	words = {
		'COUNT': '%0*d/%d' % (len(str(count)), 0, count),
		'LIST': ''.join('  %2d  %s\n' % (i, s) for i, s in enumerate(names.splitlines(), 1)),
		'STAT': git(where, 'diff', '--stat=72', '--summary', *DIFF, 'HEAD~%d' % count, 'HEAD'),
		'VERSION': k.version(),
		'PACKAGE': '%s %s' % (k.package, tree.read(os.path.join(
			k.dir, 'pristine.version')).decode().strip()),
	}
	text = re.sub(r'@([A-Z]+)@', lambda m: words[m.group(1)].rstrip('\n'),
		      tree.read(COVER).decode())
	return 'From %s Mon Sep 17 00:00:00 2001\n' % ('0' * 40) + text


def sums(where):
	"""{file: checksum} of an export."""
	return {f: hashlib.sha256(tree.read(os.path.join(where, f))).hexdigest()
		for f in sorted(os.listdir(where)) if f != LIST}


def edited(where):
	"""Files that are not as they were exported: a letter that somebody has filled in."""
	path = os.path.join(where, LIST)
	if not os.path.exists(path):
		return []
	wrote = dict(reversed(line.split('  ')) for line in tree.read(path).decode().splitlines())
	return [f for f, now in sums(where).items() if wrote.get(f) != now]


def export(k, into):
	"""Write the series into a directory that is empty or has an older export."""
	foreign = [f for f in (os.listdir(into) if os.path.isdir(into) else [])
		   if not OUTPUT.match(f)]
	if foreign or (os.path.isdir(into) and os.listdir(into) and
		       not os.path.exists(os.path.join(into, 'combined.patch'))):
		raise tree.Failure('%s holds something that is no export%s' %
				   (into, ': ' + foreign[0] if foreign else ''))
	changed = edited(into) if os.path.isdir(into) else []
	if changed and not os.environ.get('FORCE'):
		raise tree.Failure('edited since it was exported to %s: %s\n'
				   'move it to a place of yours, or FORCE=1 to drop the edit' %
				   (into, ' '.join(changed)))
	patches = tree.series(k)
	topics, grows = assign(patches, tree.our_files())
	if not topics:
		raise tree.Failure('nothing to export')
	with tempfile.TemporaryDirectory(dir=k.dir, prefix='export.') as scratch:
		where, new = os.path.join(scratch, 'git'), os.path.join(scratch, 'series')
		commits(k, topics, grows, where)
		base = 'HEAD~%d' % len(topics)
		git(where, 'format-patch', '-q', '-N', '--numbered', '--zero-commit', '--no-signature',
		    '--stat=72', '--summary', *DIFF, '-o', new, base)
		names = sorted(os.listdir(new))
		for name in names:
			path = os.path.join(new, name)
			write(path, re.sub(r'\A(From .*\nFrom: .*\n)Date: .*\n', r'\1',
					   tree.read(path).decode()))
		write(os.path.join(new, '0000-cover-letter.patch'), cover(k, where, len(names)))
		write(os.path.join(new, 'series'), '\n'.join(names) + '\n')
		write(os.path.join(new, 'combined.patch'),
		      'Copy offload for the block layer, on Linux %s: the whole series in one.\n\n' %
		      k.version() + git(where, 'diff', '--stat=72', '--patch', '--summary', *DIFF, base, 'HEAD'))
		if os.path.exists(GUIDE):
			shutil.copyfile(GUIDE, os.path.join(new, 'carrying.rst'))
		write(os.path.join(new, LIST), ''.join('%s  %s\n' % (n, f) for f, n in sums(new).items()))
		if os.path.isdir(into):
			shutil.rmtree(into)
		os.makedirs(os.path.dirname(os.path.abspath(into)), exist_ok=True)
		shutil.move(new, into)
	return names


def write(path, text):
	with open(path, 'w') as f:
		f.write(text)
