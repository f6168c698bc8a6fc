/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The only place that knows in which kernel the copy offload code is built.
 * Everything else is written for the newest supported kernel.
 */
#ifndef _LINUX_BLK_COPY_COMPAT_H
#define _LINUX_BLK_COPY_COMPAT_H

#include <linux/version.h>

/*
 * blk_copy_iter_off: the byte offset that an iterator has inside its bio_vec.
 * BLK_COPY_BIO_BYTES: size of struct bio with every option of an unpatched
 * kernel on; checked at build time.
 */
#if KERNEL_VERSION(7, 3, 0) > LINUX_VERSION_CODE
#define blk_copy_iter_off	bi_bvec_done
#define BLK_COPY_BIO_BYTES	136
#else
#define blk_copy_iter_off	bi_offset
#define BLK_COPY_BIO_BYTES	136
#endif

#endif /* _LINUX_BLK_COPY_COMPAT_H */
