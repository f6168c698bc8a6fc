# SPDX-License-Identifier: GPL-2.0
"""How the hooks in patches/ are changed: by refresh, and by port for another kernel.

Hunks that say the same in every kernel are shared, patches/common; what is left is
a kernel's own, patches/X.Y.  What both mean to one kernel is tree.Patch.
"""

import collections
import os
import re
import subprocess
import tempfile

import hunks
import tree


def order(name):
	"""Where a patch stands in the series: by its number."""
	return name.split('-')[0]


def assign(k, topic, files, patches):
	"""Have a topic for these kernel files: {file: patch}; start the patch if it is new."""
	name = topic if topic.endswith('.patch') else topic + '.patch'
	if not re.match(r'\d{4}-[a-z0-9-]+\.patch$', name):
		raise tree.Failure('a hook patch is called NNNN-topic, not %s' % topic)
	for p in patches:
		for f in files:
			if f in p.files and p.name != name:
				raise tree.Failure('%s belongs to %s already' % (f, p.name))
	for f in files:
		if k.lines(f) is None:
			raise tree.Failure('%s is not a file of Linux %s' % (f, k.version()))
		if tree.same(os.path.join(k.src, f), os.path.join(k.pristine, f)):
			raise tree.Failure('%s has no edit: make it first, in build/%s/src' % (f, k.series))
	patch = next((p for p in patches if p.name == name), None)
	if not patch:
		patch = tree.Patch(k, name)
		if not patch.header:
			patch.header = 'Subject: [PATCH] block: %s\n' % topic.split('-', 1)[1]
		patches.append(patch)
		patches.sort(key=lambda p: order(p.name))
		tree.say('refresh: new hook %s: write its subject and body in patches/common' % name)
	return {f: patch for f in files}


def refresh(k, topic=None, files=()):
	"""Write the edits that were made in src back into the patches."""
	tree.lock()
	if not os.path.isdir(k.src):
		raise tree.Failure('nothing to refresh: run scripts/prepare first')
	patches = tree.series(k)
	replaced = replaced_links(k)
	catch_up(k, patches)
	owner = {f: p for p in patches for f in p.files}
	if topic:
		owner.update(assign(k, topic, files, patches))
	for name in replaced:
		path = os.path.join(k.src, name)
		tree.put(path, os.path.join(tree.TOP, name))
		os.unlink(path)
		os.symlink(tree.link_text(k, name), path)
		tree.say('refresh: took %s back into the repository' % name)
	others = [o for o in tree.kernels() if o.series != k.series]
	for o in others:
		# Without its source nobody can tell what fits it.
		if not os.path.isdir(o.pristine) and not unpacked(o):
			raise tree.Failure('hooks are shared with Linux %s, whose source is missing: run '
					   'scripts/setup %s as root, or drop it from KERNELS if Debian has '
					   'it no more (Documentation/kernels.rst)' % (o.series, o.series))
	known = {o.series: {p.name: p for p in tree.series(o, compose=False)} for o in others}
	for o in others:
		for p in patches:
			known[o.series].setdefault(p.name, tree.Patch(o, p.name))
	# What is shared is one list, whoever changes it.
	for o in others:
		for p in patches:
			known[o.series][p.name].shared = p.shared
	changed, new = tree.edited(k, owner)
	# A file that only another kernel hooks so far has its topic there.
	for f in list(changed):
		name = next((n for o in others for n, p in known[o.series].items() if f in p.files), None)
		if name and k.lines(f) is not None:
			owner[f] = next(p for p in patches if p.name == name)
			changed.remove(f)
	for f, p in sorted(owner.items()):
		refresh_file(k, p, f, {o.series: known[o.series][p.name] for o in others})
	for p in patches:
		every = [p] + [known[o.series][p.name] for o in others]
		promote(p, every[1:])
		# Whoever refreshes, the lines have the newest kernel's numbers.
		newest = max(every, key=lambda one: one.k.number)
		for h in p.shared:
			h.start = newest.place(h) + 1
		for one in every:
			one.header = p.header
			for path in one.write():
				tree.say('refresh: wrote ' + os.path.relpath(path, tree.TOP))
		if not p.shared + p.own:
			tree.say('refresh: %s is empty now: delete it in patches/common, and take it out of '
				 'patches/series and patches/topics' % p.name)
	write_series(patches)
	patches = tree.series(k)
	tree.write_plain(k, patches)
	for p in patches:
		for f in p.files:
			tree.put(os.path.join(k.src, f), os.path.join(k.state, f))
	for f in changed:
		tree.say('refresh: %s is edited and in no patch: scripts/refresh %s --new NNNN-topic %s' %
		    (f, k.series, f))
	for f in new:
		tree.say('refresh: %s stands in the tree only: move it to %s of the repository, '
		    'then scripts/prepare' % (f, f))
	if changed or new:
		raise tree.Failure('%d edits are not in the repository' % (len(changed) + len(new)))


def replaced_links(k):
	"""Our files whose link in src an editor has replaced by a file of its own.

	The repository must not have something newer by now: that would be lost.
	"""
	found = [name for name in tree.our_files() if os.path.isfile(os.path.join(k.src, name)) and
		 not os.path.islink(os.path.join(k.src, name))]
	for name in found:
		ours, theirs = os.path.join(tree.TOP, name), os.path.join(k.src, name)
		if not tree.same(ours, theirs) and os.stat(ours).st_mtime > os.stat(theirs).st_mtime:
			raise tree.Failure('%s was edited in the repository and, before that, in the tree: '
					   'compare\n  diff %s %s\nand delete the one in the tree when its edit '
					   'is in the other' % (name, theirs, ours))
	return found


def catch_up(k, patches):
	"""Bring src to what the patches are now; they may have changed since prepare.

	Else a hunk that came meanwhile would look like one that was taken away here.
	"""
	touched = {f for p in patches for f in p.files}
	with tempfile.TemporaryDirectory(dir=k.dir, prefix='apply.') as scratch:
		tree.apply(k, patches, scratch)
		clash = []
		for f in sorted(touched | tree.state_files(k)):
			want = os.path.join(scratch if f in touched else k.pristine, f)
			state = os.path.join(k.state, f)
			last = state if os.path.exists(state) else os.path.join(k.pristine, f)
			src = os.path.join(k.src, f)
			if tree.same(last, want):
				continue
			if not os.path.exists(src) or tree.same(src, last):
				tree.put(want, src)
			elif not tree.same(src, want) and not merge(src, last, want):
				clash.append(f)
				continue
			if f in touched:
				tree.put(want, state)
			else:
				os.unlink(state)
	if clash:
		raise tree.Failure('edited in build/%s/src, and changed in patches/ since prepare: %s\n'
			      'save your edit, FORCE=1 scripts/prepare %s, and make it again' %
			      (k.series, ' '.join(clash), k.series))


def merge(src, old, new):
	"""Take into src what became new of old; False if that touches its own edits."""
	r = subprocess.run(['git', 'merge-file', '-p', '-q', src, old, new],
			   stdout=subprocess.PIPE)
	if r.returncode:
		return False
	with tempfile.NamedTemporaryFile(dir=os.path.dirname(old)) as f:
		f.write(r.stdout)
		f.flush()
		os.chmod(f.name, os.stat(src).st_mode)
		tree.put(f.name, src)
	tree.say('refresh: %s: merged with what patches/ has got since prepare' % src)
	return True


def refresh_file(k, patch, f, others):
	"""Take one file's edits into its patch.

	A hunk that the edit left alone stays where it is, shared or own.  What is
	new becomes shared if it fits every kernel, else it is this kernel's own;
	then the others keep what they had in its place.  others: {X.Y: Patch}.
	"""
	rest = sum((h.edits(h.start - 1) for h in hunks.parse(
		tree.diff(k, f, os.path.join(k.src, f)))), [])
	composed = patch.edits(h for h in patch.shared + patch.own if h.file == f)
	if sorted(composed.get(f, ())) == sorted(rest):
		return
	gone = []
	for group in (patch.shared, patch.own):
		for h in [h for h in group if h.file == f]:
			mine = h.edits(patch.place(h))
			if all(e in rest for e in mine):
				rest = [e for e in rest if e not in mine]
			else:
				group.remove(h)
				if group is patch.shared:
					gone.append(h)
	sources = [k.lines(f)] + [o.k.lines(f) for o in others.values()]
	for h in hunks.make(f, k.lines(f), rest):
		place = h.edits(h.start - 1)
		old = [g for g in gone if any(hunks.clash(a, b) or abs(a[0] - b[0]) <= hunks.CONTEXT
					      for a in place for b in g.edits(patch.place(g)))]
		common = hunks.fit(h, sources) if None not in sources else None
		if common and not any(in_the_way(o, common) for o in others.values()):
			patch.shared.append(common)
			gone = [g for g in gone if g not in old]
			for o in others.values():
				o.own = [x for x in o.own if not says_the_same(o, x, common)]
			continue
		patch.own.append(distinct(h, patch.k.lines(f), place))
		for g in old:
			gone.remove(g)
			for o in others.values():
				o.own.append(g)
		if others:
			tree.say('refresh: %s: this is of %s alone, look at %s too' %
			    (h, k.series, ' '.join(others)))
	# What came back elsewhere has moved here, and the others keep it where it was.
	came = {line for h in patch.own if h.file == f for line in h.added()}
	for g in [g for g in gone if g.added() and came.issuperset(g.added())]:
		gone.remove(g)
		for o in others.values():
			o.own.append(g)
	for g in gone:
		tree.say('refresh: %s: the hunk is gone%s' % (g, ', for every kernel' if others else ''))
	if not any(h.file == f for h in patch.shared + patch.own):
		tree.say('refresh: %s: %s has no hook any more' % (patch.name, f))


def says_the_same(patch, a, b):
	"""True if a does no more to the kernel's file than b."""
	return a.file == b.file and \
		all(e in b.edits(patch.place(b)) for e in a.edits(patch.place(a)))


def in_the_way(patch, hunk):
	"""True if a hunk of this kernel changes the same lines as a new one, to something else."""
	new = hunk.edits(patch.place(hunk))
	return any(hunks.clash(a, b) for h in patch.shared + patch.own
		   if h.file == hunk.file and not says_the_same(patch, h, hunk)
		   for a in h.edits(patch.place(h)) for b in new)


def promote(patch, others):
	"""Have shared what every kernel has as its own."""
	for h in list(patch.own):
		sources = [p.k.lines(h.file) for p in [patch] + others]
		common = hunks.fit(h, sources) if others and None not in sources else None
		if common and all(any(says_the_same(o, x, common) for x in o.own) for o in others):
			patch.shared.append(common)
			for p in [patch] + others:
				p.own = [x for x in p.own if not says_the_same(p, x, common)]


def distinct(hunk, lines, edits):
	"""That hunk with so much context that it fits at one place."""
	context = hunks.CONTEXT
	while len(hunk.places(lines)) != 1 and context < 40:
		context += 2
		hunk = hunks.make(hunk.file, lines, edits, context)[0]
	return hunk


def write_series(patches):
	"""Keep the comments of series; add what is new in its order."""
	path = os.path.join(tree.PATCHES, 'series')
	lines = tree.read(path).decode().splitlines() if os.path.exists(path) else []
	listed = [line.split('#')[0].strip() for line in lines]
	for p in patches:
		if p.name in listed:
			continue
		at = len(lines)
		for i, name in enumerate(listed):
			if name and order(name) > order(p.name):
				at = i
				break
		lines.insert(at, p.name)
		listed.insert(at, p.name)
	if lines:
		tree.put_text(path, '\n'.join(lines) + '\n')


def port(k, write=False, source=None):
	"""Say which hooks fit another kernel, and where the others may belong.

	These are the shared ones, its own, and those of the kernel source alone, if there
	is one.  With write, what fits becomes its patches, and what does not is kept in
	patches/X.Y/todo until its lines are in the kernel's tree.
	Returns (what people read of each hunk, hunks that need work by topic, kernels
	that nothing was compared with).
	"""
	tree.lock()
	tree.unpack(k)
	others = sorted((o for o in tree.kernels() if o.series != k.series),
			key=lambda o: o.number, reverse=True)
	# Of a kernel that left the archive there may be the patches alone.
	blind = [o for o in others if not unpacked(o)]
	report, work, every = [], {}, []
	for name in tree.topics():
		p = tree.Patch(k, name)
		old = [tree.Patch(o, name) for o in others]
		every += [p] + old
		left = work.setdefault(name, [])
		taken = [h for o in old if source and o.k.series == source.series for h in o.own]
		spare = [h for o in old if source and o.k.series != source.series for h in o.own]
		candidates = p.shared + p.own + taken
		shared, p.shared, p.own = p.shared, [], []
		for o in old:
			o.shared = p.shared
		for h in candidates:
			port_hunk(p, [o for o in old if o.k not in blind],
				  [o for o in old if o.k in blind], h, h in shared, spare, report, left)
		left += [h for h in tree.todo(k, name)
			 if h.body not in [x.body for x in left] and not there(h, p, old)]
		report += [(name, h, 'NEEDS WORK', None) for h in left]
	if write:
		for one in every:
			one.write()
	for name, left in work.items():
		keep(os.path.join(k.patches, 'todo', name) if write else
		     os.path.join(k.dir, 'port', name), left)
	return report, {name: left for name, left in work.items() if left}, blind


def unpacked(k):
	"""True if the source of that kernel is there."""
	if not os.path.isdir(k.pristine) and not tree.package(k)[0]:
		return False
	tree.unpack(k)
	return True


def there(h, patch, old):
	"""True if a kernel has the lines of a hunk as often as another that has them.

	Of a hunk that takes lines away only, nobody can tell.
	"""
	def count(p):
		return collections.Counter(line for x in p.shared + p.own if x.file == h.file
					   for line in x.added())
	want = set(h.added())
	model = next((c for c in map(count, old) if want <= c.keys()), None)
	have = count(patch)
	return bool(want and model) and all(have[line] >= model[line] for line in want)


def port_hunk(p, old, blind, h, shared, spare, report, left):
	"""Give a hunk to a kernel, shared or as its own, or to those that need work.

	blind: patches of kernels whose files cannot be looked at
	"""
	lines = p.k.lines(h.file)
	same_text = [s for s in spare if s.file == h.file and s.added() == h.added()]
	wide = hunks.fit(h, [o.k.lines(h.file) for o in old] + [lines]) if lines and all(
		o.k.lines(h.file) for o in old) else None
	if wide and (shared or old and not any(in_the_way(o, wide) for o in old + [p])):
		p.shared.append(wide)
		for o in old:
			o.own = [x for x in o.own if not says_the_same(o, x, wide)]
		for o in blind:
			o.own = [x for x in o.own if x.body != h.body]
		report.append((p.name, wide, 'fits' if len(wide.body) == len(h.body) else
			       'fits with less around it', p.place(wide)))
		return
	if shared:
		for o in old + blind:
			o.own.append(h)
	for one in [h] + same_text if lines else []:
		at = one.places(lines)
		if len(at) == 1 and not hunks.elsewhere(one, lines, at[0]):
			one = hunks.make(h.file, lines, one.edits(at[0]))[0]
		else:
			one = hunks.fit(one, [lines])
			if one and hunks.elsewhere(one, lines, one.places(lines)[0]):
				one = None
		if one and not in_the_way(p, one):
			p.own.append(one)
			report.append((p.name, h, 'fits as its own', p.place(one)))
			return
	left.append(h)


def keep(path, some):
	"""Have a patch hold these hunks, or not be there."""
	if some:
		tree.put_text(path, hunks.write(some))
	elif os.path.exists(path):
		os.unlink(path)
		if not os.listdir(os.path.dirname(path)):
			os.rmdir(os.path.dirname(path))
