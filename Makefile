# SPDX-License-Identifier: GPL-2.0
#
# The verbs for people.  Everything they build goes below build/.

KERNEL ?=
FLAVOUR ?= lean
export KERNEL FLAVOUR

# Settings of make vm; see tools/testing/qemu/vm --help.
export RUN ARGS SHARE MEM CPUS DEVICES APPEND TIMEOUT LOG UDEV LEAKS ENV QEMU_ARGS ACCEL
export SUITES V
# One that is not there makes each shell complain.
export LC_ALL := C.UTF-8
# Names that a CI may use for something else, and scripts/kernel for what it does.
unexport OUT SRC COPY TARGETS MAKE_ARGS TAG EXTRA_CONFIG

.PHONY: help
help:
	@echo 'Copy offload for the Linux block layer.  As root on Debian 12 or 13:'
	@echo
	@echo '  make demo       boot a guest and show what copies by offload, and what not'
	@echo '  make test       build and run the tests (at most an hour from nothing)'
	@echo '  make test-full  the same, and the debug kernel, every patch, the mutants'
	@echo '  make kernel     build the patched kernel'
	@echo '  make vm         a root shell in a guest that runs it'
	@echo '                    RUN=script   run that there instead, and nothing else'
	@echo '                    SHARE=dir    a writable directory, /share in the guest'
	@echo '                    MEM= CPUS= DEVICES= APPEND= TIMEOUT= ARGS= LOG= UDEV='
	@echo '                    (tools/testing/qemu/vm --help says it all)'
	@echo '  make check      style and static checks of all that is ours'
	@echo '  make bench      measure; JSON in build/results/bench.json'
	@echo '  make tools      build blkcopy and the test programs into build/tools/'
	@echo '  make prepare    lay out the kernel tree in build/<X.Y>/src'
	@echo '  make refresh    write the edits made there back into patches/'
	@echo '  make series     write the patches to post, or to carry, to build/<X.Y>/series'
	@echo '  make clean      remove what was built, but not the downloads (distclean: all)'
	@echo
	@echo 'KERNEL=X.Y chooses a kernel of the file KERNELS, FLAVOUR=debug the debug'
	@echo 'configuration, SUITES="name ..." some test suites, V=1 prints their output.'

.PHONY: demo test test-full bench
demo: bed
	@tools/demo/run

test:
	@scripts/test test

test-full:
	@scripts/test full

bench: bed
	@tools/testing/bench/run

.PHONY: bed setup kernel root tools vm check prepare refresh series
# All that a guest needs; first what only root can make, last what takes longest.
bed: root tools kernel
# One after the other, each uses all CPUs by itself.
.NOTPARALLEL:

setup:
	@scripts/setup

kernel: setup
	@scripts/kernel

root: setup
	@scripts/rootfs

tools: setup
	@scripts/tools

vm: bed
	@exec tools/testing/qemu/vm

check: setup
	@scripts/check

prepare: setup
	@scripts/prepare

refresh:
	@scripts/refresh

series: setup
	@scripts/export-series

.PHONY: clean distclean
clean:
	rm -rf build/*/lean build/*/debug build/*/bisect build/*/check build/tools \
		build/results build/bench build/log build/tmp

distclean:
	rm -rf build
