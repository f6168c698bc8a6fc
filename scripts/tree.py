# SPDX-License-Identifier: GPL-2.0
"""What prepare, refresh and the checks know about kernel trees.

A kernel series X.Y has three places below build/X.Y/:

  pristine/  the source package, unpacked and never touched
  src/       pristine plus the hooks of patches/X.Y/ plus our own files
  state/     copies of the hooked files as prepare last wrote them

Our own files stand in the repository at their kernel path and are symlinks
in src/.  A foreign file that a hook touches is a plain file in src/.
"""

import fcntl
import filecmp
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import hunks

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

PATCHES = os.path.join(TOP, 'patches')
COMMON = os.path.join(PATCHES, 'common')

# Directories of the repository whose files belong into a kernel tree.
OUR_DIRS = (
	'Documentation/ABI', 'Documentation/admin-guide', 'Documentation/block',
	'arch', 'block', 'drivers', 'fs', 'include', 'init', 'io_uring',
	'kernel', 'lib', 'mm', 'net', 'samples', 'security',
)

# Where Debian's packages put the kernel's source
SOURCES = '/usr/src'

# git am wants an author.  Whoever posts a patch puts the own name here.
AUTHOR = 'Copy offload developers <copy-offload@localhost>'

# What editors and patch(1) leave behind is nobody's source file.
DROPPINGS = re.compile(r'(\.orig|\.rej|\.sw.|~|\.cmd|\.o|\.ko|\.mod)$|/\.#|/#')

# The file that lock() holds
held = None


class Failure(Exception):
	pass


def say(text):
	print(text, file=sys.stderr, flush=True)


class Kernel:
	"""One line of KERNELS and the places that belong to it."""

	def __init__(self, series, package, suites, tested, flags=''):
		self.series = series
		self.package = package
		self.suites = suites.split(',')
		self.tested = tested.split(',')
		self.default = 'default' in flags.split(',')
		self.number = [int(n) for n in series.split('.')]
		self.dir = os.path.join(TOP, 'build', series)
		self.pristine = os.path.join(self.dir, 'pristine')
		self.src = os.path.join(self.dir, 'src')
		self.state = os.path.join(self.dir, 'state')
		self.patches = os.path.join(PATCHES, series)
		self._lock = None
		self._lines = {}

	def lines(self, name):
		"""A file of the unpacked kernel, None if it has no such file."""
		if name not in self._lines:
			path = os.path.join(self.pristine, name)
			text = read(path).decode() if os.path.isfile(path) else None
			if text and not text.endswith('\n'):
				raise Failure('%s of Linux %s has no newline at its end: no hook can be there' %
					      (name, self.version()))
			self._lines[name] = text if text is None else text.split('\n')[:-1]
		return self._lines[name]

	def version(self):
		"""The x.y.z that the unpacked Makefile names."""
		found = {}
		with open(os.path.join(self.pristine, 'Makefile')) as f:
			for line in f:
				m = re.match(r'(VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)', line)
				if m:
					found[m.group(1)] = m.group(2)
				if len(found) == 3:
					break
		return '{VERSION}.{PATCHLEVEL}.{SUBLEVEL}'.format(**found)


def lock():
	"""One at a time reads patches/ and changes it or a tree: kernels share it.

	Released at exit.
	"""
	global held
	if not held:
		os.makedirs(os.path.join(TOP, 'build'), exist_ok=True)
		held = open(os.path.join(TOP, 'build/trees.lock'), 'w')
		fcntl.flock(held, fcntl.LOCK_EX)


def kernels():
	found = []
	with open(os.path.join(TOP, 'KERNELS')) as f:
		for line in f:
			line = line.split('#')[0].split()
			if line:
				found.append(Kernel(*line))
	return found


def kernel(series=None):
	"""The kernel asked for, by argument, by KERNEL= or by default."""
	series = series or os.environ.get('KERNEL')
	known = kernels()
	for k in known:
		if k.series == series or (not series and k.default):
			return k
	raise Failure('kernel %s is not in KERNELS (%s)' %
		      (series or '(default)', ' '.join(k.series for k in known)))


def only(args):
	"""The kernel that the arguments of a script name; it takes one, or none."""
	if len(args) > 1:
		raise Failure('%s is one argument too many; see --help' % args[1])
	return kernel(args[0] if args else None)


def read(path):
	with open(path, 'rb') as f:
		return f.read()


def put_text(path, text):
	"""Have a file hold that text; False if it did."""
	if os.path.exists(path) and read(path).decode() == text:
		return False
	os.makedirs(os.path.dirname(path), exist_ok=True)
	with tempfile.NamedTemporaryFile('w', dir=os.path.dirname(path), delete=False) as f:
		f.write(text)
	os.chmod(f.name, 0o644)
	os.rename(f.name, path)
	return True


def same(a, b):
	return (os.path.isfile(a) and os.path.isfile(b) and
		filecmp.cmp(a, b, shallow=False))


def put(src, dst):
	"""Copy src to dst unless dst has those bytes: keeps dst's mtime."""
	if not os.path.islink(dst) and same(src, dst):
		return False
	os.makedirs(os.path.dirname(dst), exist_ok=True)
	if os.path.lexists(dst):
		mode = os.stat(src).st_mode
		os.unlink(dst)
	else:
		mode = os.stat(src).st_mode
	shutil.copyfile(src, dst)
	os.chmod(dst, mode & 0o777)
	return True


class Patch:
	"""A hook patch as one kernel has it.

	What people maintain are the shared hunks, patches/common/NAME, whose header
	is that of a mail, and the kernel's own hunks, patches/X.Y/NAME, whose header
	says why they are its own.  .diff is what both make of it, and .path where prepare
	writes that as a plain patch.
	"""

	def __init__(self, k, name):
		self.k = k
		self.name = name
		self.path = os.path.join(k.dir, 'patches', name)
		self.header, self.shared = self._read(COMMON)
		self.remark, self.own = self._read(k.patches)
		self.diff = ''

	def _read(self, where):
		path = os.path.join(where, self.name)
		if not os.path.exists(path):
			return '', []
		text = read(path).decode()
		for old, new in re.findall(r'^--- (\S+).*\n\+\+\+ (\S+)', text, re.M):
			if '/dev/null' in (old, new):
				raise Failure('%s: %s: hooks edit existing files only; a new file '
					      'stands in the repository at its kernel path' %
					      (self.name, new if old == '/dev/null' else old))
		m = re.search(r'^(---\s*$|diff |--- \S+.*\n\+\+\+ )', text, re.M)
		m = m or re.search(r'\Z', text)
		try:
			return text[:m.start()].rstrip('\n') + '\n', hunks.parse(text[m.start():])
		except ValueError as e:
			raise Failure('%s: %s' % (os.path.relpath(path, TOP), e))

	@property
	def files(self):
		return sorted({h.file for h in self.shared + self.own})

	def mail(self):
		"""The header as git am takes it: From and Subject, a blank line, the rest."""
		head, _, body = self.header.partition('\n\n')
		fields = head.strip('\n').split('\n')
		names = [f.split(':')[0].lower() for f in fields]
		if 'subject' not in names or \
		   not all(re.match(r'[!-9;-~]+:|\s', f) for f in fields):
			raise Failure('%s: begins with no mail header: write "Subject: [PATCH] ...", '
				      'a blank line and a body above its ---' % self.name)
		if 'from' not in names:
			fields.insert(0, 'From: ' + AUTHOR)
		return '\n'.join(fields) + '\n\n' + (body.strip('\n') + '\n' if body.strip() else '')

	def write(self):
		"""Write back what people maintain; returns the paths that are new."""
		wrote = []
		own = self.remark.strip('\n')
		for where, text in ((COMMON, self.mail() + '---\n\n' + hunks.write(self.shared)),
				    (self.k.patches, (own + '\n---\n\n' if own else '') +
				     hunks.write(self.own))):
			path = os.path.join(where, self.name)
			if where != COMMON and not self.own:
				if os.path.exists(path):
					if own:
						say('%s: nothing is its own any more; its remark was: %s' %
						    (os.path.relpath(path, TOP), own))
					os.unlink(path)
					wrote.append(path)
			elif put_text(path, text):
				wrote.append(path)
		return wrote

	def place(self, h):
		"""The one index at which a hunk of ours stands in the kernel's file."""
		lines = self.k.lines(h.file)
		if lines is None:
			raise Failure('%s: touches %s, which %s (%s) does not have' %
				      (self.name, h.file, self.k.package, self.k.version()))
		places = h.places(lines)
		if len(places) != 1:
			raise Failure('hook %s does not apply (fuzz 0) to %s of Linux %s:\n  the hunk '
				      '@@ %s fits %s\nscripts/port %s shows where it may belong' %
				      (self.name, h.file, self.k.version(), h,
				       'at %d places' % len(places) if places else 'nowhere',
				       self.k.series))
		if hunks.elsewhere(h, lines, places[0]):
			raise Failure('hook %s does not apply to %s of Linux %s:\n  the hunk @@ %s would be in '
				      'another function: %s' % (self.name, h.file, self.k.version(), h,
								hunks.heading(lines, places[0])))
		return places[0]

	def edits(self, some):
		"""{file: edits} of some of our hunks."""
		found = {}
		for h in some:
			found.setdefault(h.file, []).extend(h.edits(self.place(h)))
		return found

	def compose(self):
		"""Make .diff of shared and own hunks."""
		parts = []
		for f, edits in sorted(self.edits(self.shared + self.own).items()):
			edits.sort()
			for a, b in zip(edits, edits[1:]):
				if hunks.clash(a, b):
					raise Failure('%s: two hunks change line %d of %s (Linux %s)' %
						      (self.name, b[0] + 1, f, self.k.version()))
			parts.append(diff_lines(self.k, f, hunks.apply(self.k.lines(f), edits)))
		self.diff = ''.join(parts)
		self.mail()	# or a Failure, if its header is none

	def added(self):
		"""How many lines this patch adds, per file."""
		count = {}
		for h in self.shared + self.own:
			count[h.file] = count.get(h.file, 0) + len(h.added())
		return count


def topics():
	"""The names of the hook patches, in their order, the same for every kernel."""
	path = os.path.join(PATCHES, 'series')
	if not os.path.exists(path):
		return []
	names = [line.split('#')[0].strip() for line in read(path).decode().splitlines()]
	return [n for n in names if n]


def series(k, compose=True):
	"""The patches in order; every foreign file has one patch."""
	found = []
	owner = {}
	names = topics()
	for name in names:
		p = Patch(k, name)
		if not p.header:
			raise Failure('patches/series names %s, which is not there' % name)
		for f in p.files:
			if f in owner:
				raise Failure('%s is touched by %s and by %s: a file has one topic' %
					      (f, owner[f], name))
			owner[f] = name
		found.append(p)
	for where in (COMMON, k.patches):
		for name in sorted(os.listdir(where)) if os.path.isdir(where) else ():
			if name.endswith('.patch') and name not in names:
				raise Failure('%s is not in patches/series' %
					      os.path.relpath(os.path.join(where, name), TOP))
	for p in found if compose else ():
		p.compose()
	return found


def write_plain(k, patches):
	"""Have build/X.Y/patches hold them as plain patches.  Locked."""
	for p in patches:
		put_text(p.path, p.mail() + '---\n\n' + p.diff)
	where = os.path.join(k.dir, 'patches')
	put_text(os.path.join(where, 'series'), ''.join(p.name + '\n' for p in patches))
	for name in set(os.listdir(where)) - {p.name for p in patches} - {'series'}:
		os.unlink(os.path.join(where, name))


def our_files():
	"""Our kernel files: tracked, or new and not ignored."""
	if os.path.lexists(os.path.join(TOP, '.git')):
		# The repository may be another user's: a container's, or a CI's.
		r = subprocess.run(['git', '-c', 'safe.directory=' + TOP, '-C', TOP, 'ls-files',
				    '-co', '-z', '--exclude-standard', '--', *OUR_DIRS],
				   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
		if r.returncode:
			raise Failure('git cannot list our files: ' + r.stderr.decode().strip())
		names = r.stdout.decode().split('\0')
	else:
		names = []
		for d in OUR_DIRS:
			for where, _, files in os.walk(os.path.join(TOP, d)):
				names += [os.path.relpath(os.path.join(where, f), TOP)
					  for f in files]
	return sorted({n for n in names
		       if n and not DROPPINGS.search(n) and
		       os.path.isfile(os.path.join(TOP, n))})


def link_text(k, name):
	return os.path.relpath(os.path.join(TOP, name),
			       os.path.dirname(os.path.join(k.src, name)))


def patch(diff, where):
	"""Apply a diff with fuzz 0 to the files of a directory; what patch(1) said."""
	# It keeps a copy of its input in TMPDIR, and makes that directory if need be.
	return subprocess.run(['patch', '-p1', '-F0', '--no-backup-if-mismatch', '-r', '-'],
			      cwd=where, input=diff, env={**os.environ, 'TMPDIR': where}, text=True,
			      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def apply(k, patches, into):
	"""Apply patches with fuzz 0 to copies of the files they touch."""
	for p in patches:
		for f in p.files:
			src = os.path.join(k.pristine, f)
			if not os.path.isfile(src):
				raise Failure('%s: touches %s, which %s (%s) does not have' %
					      (p.name, f, k.package, k.version()))
			if not os.path.exists(os.path.join(into, f)):
				put(src, os.path.join(into, f))
		if not p.files:
			continue
		r = patch(p.diff, into)
		if r.returncode == 0:
			continue
		name = 'the patch'
		bad = []
		for line in r.stdout.splitlines():
			m = re.match(r"(?:checking|patching) file '?([^']+?)'?$", line)
			if m:
				name = m.group(1)
			elif 'FAILED' in line or 'malformed' in line:
				bad.append('%s: %s' % (name, line.strip()))
		raise Failure('hook %s does not apply (fuzz 0) to %s of Linux %s:\n  %s' %
			      (p.name, ' '.join(sorted({b.split(':')[0] for b in bad})) or name,
			       k.version(), '\n  '.join(bad or r.stdout.splitlines())))


def edited(k, known):
	"""Files of src that are not as pristine has them, and are not known.

	Returns (changed, new); what was removed counts as changed.  Size and
	mtime tell unchanged files cheaply, because src was copied with its times.
	"""
	changed, new = [], []
	stack = ['']
	while stack:
		rel = stack.pop()
		base = {}
		try:
			with os.scandir(os.path.join(k.pristine, rel)) as it:
				base = {e.name: e for e in it}
		except (FileNotFoundError, NotADirectoryError):
			pass
		with os.scandir(os.path.join(k.src, rel)) as it:
			entries = list(it)
		gone = set(base) - {e.name for e in entries}
		changed += [n for n in (os.path.join(rel, g) for g in gone) if n not in known]
		for e in entries:
			name = os.path.join(rel, e.name)
			if e.is_symlink():
				if e.name in base and not base[e.name].is_symlink():
					changed.append(name)
				continue
			if e.is_dir():
				stack.append(name)
				continue
			if name in known or DROPPINGS.search('/' + name):
				continue
			if e.name not in base:
				new.append(name)
				continue
			if base[e.name].is_symlink():
				changed.append(name)
				continue
			a, b = e.stat(), base[e.name].stat(follow_symlinks=False)
			if a.st_size == b.st_size and a.st_mtime_ns == b.st_mtime_ns:
				continue
			if same(e.path, base[e.name].path):
				# Never turn back a time that make looks at.
				os.utime(base[e.name].path, ns=(b.st_atime_ns, a.st_mtime_ns))
			else:
				changed.append(name)
	return sorted(changed), sorted(new)


def package(k):
	"""(version, tar file) of the source package: installed, or fetched by setup."""
	r = subprocess.run(['dpkg-query', '-W', '-f', '${db:Status-Status} ${Version}', k.package],
			   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
	tar = os.path.join(SOURCES, k.package + '.tar.xz')
	if not r.returncode and r.stdout.startswith('installed ') and os.path.exists(tar):
		return r.stdout.split()[1], tar
	tar = os.path.join(k.dir, 'source', k.package + '.tar.xz')
	if os.path.exists(tar):
		return read(os.path.join(k.dir, 'source/version')).decode().strip(), tar
	return None, None


def unpack(k):
	"""Have build/X.Y/pristine hold the source package; src, if there is one, moves along."""
	stamp = os.path.join(k.dir, 'pristine.version')
	have = read(stamp).decode().strip() if os.path.exists(stamp) else None
	version, tar = package(k)
	if not version:
		if have and os.path.isdir(k.pristine):
			return have
		raise Failure('the package %s is missing (Debian has it in %s): run scripts/setup %s '
			      'as root' % (k.package, ' or '.join(k.suites), k.series))
	if have == version and os.path.isdir(k.pristine):
		return version
	if have and os.path.isdir(k.src) and os.path.isdir(k.pristine):
		# Moving the tree would overwrite these.
		lost = sum(edited(k, state_files(k)), [])
		if lost and not os.environ.get('FORCE'):
			raise Failure('the tree cannot move from %s to %s, it has edits that are in no '
				      'patch: %s\nrun scripts/refresh --new to keep them, or FORCE=1 '
				      'scripts/prepare to drop them' % (have, version, ' '.join(lost)))
	new = k.pristine + '.new'
	shutil.rmtree(new, ignore_errors=True)
	os.makedirs(new)
	say('prepare: unpacking %s %s (about a minute)' % (k.package, version))
	p = subprocess.Popen(['tar', '-xJf', tar, '-C', new, '--strip-components=1'])
	begin = time.monotonic()
	while True:
		try:
			p.wait(10)
			break
		except subprocess.TimeoutExpired:
			say('prepare: unpacking, %d s' % (time.monotonic() - begin))
	if p.returncode:
		raise Failure('tar cannot unpack %s' % tar)
	shutil.rmtree(k.pristine, ignore_errors=True)
	os.rename(new, k.pristine)
	with open(stamp, 'w') as f:
		f.write(version + '\n')
	# At once: what is edited there can be told from the old one alone.
	if os.path.isdir(k.src):
		copy_tree(k, version)
	return version


def src_version(k):
	"""The version of the source package that src was made of; None without src."""
	stamp = os.path.join(k.dir, 'src.version')
	if not os.path.isdir(k.src):
		return None
	return read(stamp).decode().strip() if os.path.exists(stamp) else ''


def copy_tree(k, version):
	"""Have src hold every file of pristine; hooks and links come later."""
	have = src_version(k)
	if have == version:
		return
	if not os.path.isdir(k.src):
		new = k.src + '.new'
		shutil.rmtree(new, ignore_errors=True)
		say('prepare: copying the tree')
		subprocess.run(['cp', '-a', '--reflink=auto', k.pristine, new], check=True)
		# What was in the tree that went tells nothing about this one.
		shutil.rmtree(k.state, ignore_errors=True)
		os.rename(new, k.src)
	else:
		say('prepare: moving the tree from %s to %s' % (have or 'what is there', version))
		hooked = state_files(k)
		for where, dirs, files in os.walk(k.pristine):
			rel = os.path.relpath(where, k.pristine)
			for f in files:
				name = os.path.normpath(os.path.join(rel, f))
				src, dst = os.path.join(where, f), os.path.join(k.src, name)
				if name in hooked:
					continue
				if os.path.islink(src):
					if not os.path.lexists(dst):
						os.makedirs(os.path.dirname(dst), exist_ok=True)
						os.symlink(os.readlink(src), dst)
					continue
				if put(src, dst):
					continue
				os.utime(src, ns=(os.stat(src).st_atime_ns, os.stat(dst).st_mtime_ns))
		for where, dirs, files in os.walk(k.src):
			rel = os.path.relpath(where, k.src)
			for f in files:
				name = os.path.normpath(os.path.join(rel, f))
				path = os.path.join(where, f)
				if not os.path.islink(path) and \
				   not os.path.lexists(os.path.join(k.pristine, name)):
					os.unlink(path)
	with open(os.path.join(k.dir, 'src.version'), 'w') as f:
		f.write(version + '\n')


def state_files(k):
	"""The hooked files as they were last put into src."""
	found = set()
	for where, _, files in os.walk(k.state):
		for f in files:
			found.add(os.path.relpath(os.path.join(where, f), k.state))
	return found


def links(k):
	"""Symlinks of src that point at our files."""
	path = os.path.join(k.dir, 'links')
	if not os.path.exists(path):
		return set()
	return set(read(path).decode().split('\n')) - {''}


def sync_links(k):
	"""Link our files into src, drop the links of files that went away."""
	ours = our_files()
	moved = []
	for name in ours:
		dst = os.path.join(k.src, name)
		text = link_text(k, name)
		if os.path.lexists(os.path.join(k.pristine, name)):
			raise Failure("%s is the kernel's own file: change it by a hook" % name)
		if os.path.islink(dst):
			if os.readlink(dst) == text:
				continue
			os.unlink(dst)
		elif os.path.exists(dst):
			# An editor replaced the link by a file of its own.
			if not same(dst, os.path.join(TOP, name)) and not os.environ.get('FORCE'):
				moved.append(name)
				continue
			os.unlink(dst)
		os.makedirs(os.path.dirname(dst), exist_ok=True)
		os.symlink(text, dst)
	for name in links(k) - set(ours):
		dst = os.path.join(k.src, name)
		if os.path.islink(dst):
			os.unlink(dst)
	with open(os.path.join(k.dir, 'links'), 'w') as f:
		f.write('\n'.join(ours) + '\n')
	if moved:
		raise Failure('edited in the tree, and no link any more: %s\n'
			      'run scripts/refresh to take the edit back, or FORCE=1 to drop it' %
			      ' '.join(moved))
	return ours


def drop(k, changed, new):
	"""Have the kernel's own files in src as pristine has them, and no others."""
	for name in changed:
		src, dst = os.path.join(k.pristine, name), os.path.join(k.src, name)
		if os.path.isdir(src) and not os.path.islink(src):
			if os.path.lexists(dst):
				os.unlink(dst)
			shutil.copytree(src, dst, symlinks=True)
		elif os.path.islink(src):
			if os.path.lexists(dst):
				os.unlink(dst)
			os.symlink(os.readlink(src), dst)
		else:
			put(src, dst)
	for name in new:
		os.unlink(os.path.join(k.src, name))


def edits(k, lost, changed, new):
	"""Drop edits that are in no patch, if told to, and say so; else keep them, and say so."""
	if os.environ.get('FORCE'):
		if lost + changed + new:
			say('prepare: dropped the edits of: ' + ' '.join(lost + changed + new))
		drop(k, changed, new)
		return
	if changed:
		say('prepare: note: edited but in no patch yet (scripts/refresh --new): ' +
		    ' '.join(changed))
	if new:
		say('prepare: note: in the tree only, not in the repository: ' + ' '.join(new))
	if changed or new:
		say('prepare: note: they are kept; FORCE=1 scripts/prepare drops them')


def prepare(k, quiet=False):
	"""Bring src up to date.  Files that need no change keep their mtime."""
	lock()
	had = src_version(k)
	version = unpack(k)
	copy_tree(k, version)
	anew = version != had
	patches = series(k)
	write_plain(k, patches)
	touched = {f for p in patches for f in p.files}
	before = state_files(k)
	wrote = 0
	with tempfile.TemporaryDirectory(dir=k.dir, prefix='apply.') as scratch:
		apply(k, patches, scratch)
		lost = []
		for f in sorted(touched | before):
			want = os.path.join(scratch if f in touched else k.pristine, f)
			last = os.path.join(k.state if f in before else k.pristine, f)
			src = os.path.join(k.src, f)
			if os.path.exists(src) and not same(src, last) and not same(src, want):
				lost.append(f)
		if lost and not os.environ.get('FORCE'):
			raise Failure('edited in build/%s/src and not in patches/ yet: %s\n'
				      'run scripts/refresh to keep the edit, or FORCE=1 to drop it' %
				      (k.series, ' '.join(lost)))
		for f in sorted(touched):
			wrote += put(os.path.join(scratch, f), os.path.join(k.src, f))
			put(os.path.join(scratch, f), os.path.join(k.state, f))
		for f in sorted(before - touched):
			if os.path.exists(os.path.join(k.pristine, f)):
				wrote += put(os.path.join(k.pristine, f), os.path.join(k.src, f))
			os.unlink(os.path.join(k.state, f))
	ours = sync_links(k)
	edits(k, lost, *edited(k, touched))
	if version not in k.tested and (anew or not quiet):
		say('prepare: note: %s %s is not among the tested versions (%s)' %
		    (k.package, version, ' '.join(k.tested)))
	if not quiet or wrote or anew:
		say('prepare: Linux %s (%s), %d hooks in %d files, %d files of ours, %d written' %
		    (k.version(), version, len(patches), len(touched), len(ours), wrote))


def diff(k, name, new):
	"""What a hook patch says if that file of the kernel becomes new."""
	r = subprocess.run(['diff', '-up', '--label', 'a/' + name, '--label', 'b/' + name,
			    os.path.join(k.pristine, name), new], stdout=subprocess.PIPE)
	if r.returncode > 1:
		raise Failure('diff fails on %s' % name)
	return r.stdout.decode()


def diff_lines(k, name, lines):
	with tempfile.NamedTemporaryFile('w', dir=k.dir, prefix='diff.') as f:
		f.write('\n'.join(lines) + '\n')
		f.flush()
		return diff(k, name, f.name)


def todo(k, name):
	"""Hunks that a port of that kernel has left for people."""
	path = os.path.join(k.patches, 'todo', name)
	return hunks.parse(read(path).decode()) if os.path.exists(path) else []


def unread(main):
	"""Call main; ends as SIGPIPE would if nobody reads what it prints."""
	try:
		rc = main()
		sys.stdout.flush()
		return rc
	except BrokenPipeError:
		# Python flushes once more at the end.
		os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
		return 141


def run(main):
	"""Call main; a Failure is a message and exit status 1."""
	# What is built is for the guest too, and what patch(1) says is read.
	os.umask(0o022)
	os.environ['LC_ALL'] = 'C.UTF-8'
	try:
		sys.exit(unread(lambda: main(sys.argv[1:])))
	except (Failure, PermissionError) as e:
		print('%s: %s' % (os.path.basename(sys.argv[0]), e), file=sys.stderr)
		sys.exit(1)
