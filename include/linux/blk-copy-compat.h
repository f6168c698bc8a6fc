/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The only place that knows in which kernel the copy offload code is built.
 * Everything else is written for the newest supported kernel.
 */
#ifndef _LINUX_BLK_COPY_COMPAT_H
#define _LINUX_BLK_COPY_COMPAT_H

#include <linux/version.h>

/* The byte offset that an iterator has inside its bio_vec */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 3, 0)
#define blk_copy_iter_off	bi_bvec_done
#else
#define blk_copy_iter_off	bi_offset
#endif

#endif /* _LINUX_BLK_COPY_COMPAT_H */
