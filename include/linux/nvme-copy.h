/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NVM Express: the Copy command, which linux/nvme.h does not define.
 *
 * NVM Command Set Specification 1.2, section 3.3.2, and figure 104 of the Base
 * Specification 2.2.
 */
#ifndef _LINUX_NVME_COPY_H
#define _LINUX_NVME_COPY_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/types.h>

/*
 * Identify Controller, Optional Copy Formats Supported; and which of them Host
 * Behavior Support enables, where only 2h to 4h can be
 */
enum {
	NVME_COPY_OCFS_FORMAT_0		= 1 << 0,
	NVME_COPY_OCFS_FORMAT_2		= 1 << 2,
};

/*
 * Command Dword 12; format 0h is 0.  The controller checks protection information
 * when it reads, and makes it anew for where it writes: with PRACT neither goes
 * through the copy.
 */
enum {
	NVME_COPY_CDW12_NR		= 0xff,	/* ranges, 0's based */
	NVME_COPY_CDW12_FORMAT		= 0xf << 8,
	NVME_COPY_CDW12_FORMAT_2	= 2 << 8,
	NVME_COPY_CDW12_READ_REF	= 1 << 12,	/* PRINFOR: PRCHK */
	NVME_COPY_CDW12_READ_GUARD	= 1 << 14,
	NVME_COPY_CDW12_READ_PRACT	= 1 << 15,
	NVME_COPY_CDW12_WRITE_PRACT	= 1 << 29,	/* PRINFOW */
	NVME_COPY_CDW12_FUA		= 1U << 30,
	NVME_COPY_CDW12_LR		= 1U << 31,
};

/* NR is 8 bits wide */
#define NVME_COPY_MAX_RANGES		256

/**
 * struct nvme_copy_range - Source Range entry of descriptor formats 0h and 2h
 * @snsid:	the source namespace in format 2h, 0 in format 0h
 * @rsvd4:	0
 * @slba:	first logical block
 * @nlb:	logical blocks, 0's based
 * @rsvd18:	0; command extension
 * @sopt:	source options, none in format 0h; in 2h one asks for a copy that is
 *		fast or fails
 * @elbt:	expected reference tag
 * @elbat:	expected application tag
 * @elbatm:	its mask
 */
struct nvme_copy_range {
	__le32			snsid;
	__le32			rsvd4;
	__le64			slba;
	__le16			nlb;
	__le16			rsvd18[2];
	__le16			sopt;
	__le32			elbt;
	__le16			elbat;
	__le16			elbatm;
};

static_assert(sizeof(struct nvme_copy_range) == 32);

/*
 * Status codes of Copy.  Command specific: other commands and command sets use
 * some of these values for something else.  NVME_SC_CMD_SIZE_LIM_EXCEEDED and
 * NVME_SC_INVALID_PI also belong here.
 */
enum {
	NVME_SC_COPY_INCOMPATIBLE_NS	= 0x185,
	NVME_SC_COPY_NOT_FAST		= 0x186,
	NVME_SC_COPY_OVERLAP		= 0x187,
	NVME_SC_COPY_NS_NOT_REACHABLE	= 0x188,
	NVME_SC_COPY_NO_RESOURCES	= 0x189,
};

#endif /* _LINUX_NVME_COPY_H */
