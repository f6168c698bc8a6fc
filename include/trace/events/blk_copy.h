/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM blk_copy

#if !defined(_TRACE_BLK_COPY_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_BLK_COPY_H

#include <linux/blkdev.h>
#include <linux/tracepoint.h>

struct blk_copy;
struct blk_copy_chunk;

#define blk_copy_reasons					\
	{ BLK_COPY_REASON_LIMIT,	"limit" },		\
	{ BLK_COPY_REASON_IN,		"copy_in" },		\
	{ BLK_COPY_REASON_OUT,		"copy_out" },		\
	{ BLK_COPY_REASON_OVERFLOW,	"overflow" },		\
	{ BLK_COPY_REASON_STALE,	"stale" },		\
	{ BLK_COPY_REASON_ERROR,	"device_error" }

TRACE_DEFINE_ENUM(BLK_COPY_REASON_LIMIT);
TRACE_DEFINE_ENUM(BLK_COPY_REASON_IN);
TRACE_DEFINE_ENUM(BLK_COPY_REASON_OUT);
TRACE_DEFINE_ENUM(BLK_COPY_REASON_OVERFLOW);
TRACE_DEFINE_ENUM(BLK_COPY_REASON_STALE);
TRACE_DEFINE_ENUM(BLK_COPY_REASON_ERROR);

/* A copy begins: offsets and lengths in bytes, dst_sector in 512 bytes */
TRACE_EVENT(blk_copy_start,
	TP_PROTO(const struct blk_copy *copy),
	TP_ARGS(copy),
	TP_STRUCT__entry(
		__field(dev_t,		src)
		__field(dev_t,		dst)
		__field(sector_t,	dst_sector)
		__field(u64,		len)
		__field(unsigned int,	nr_segs)
		__field(unsigned int,	flags)
	),
	TP_fast_assign(
		__entry->src		= copy->src->bd_dev;
		__entry->dst		= copy->dst->bd_dev;
		__entry->dst_sector	= copy->dst_sector;
		__entry->len		= copy->len;
		__entry->nr_segs	= copy->nr_segs;
		__entry->flags		= copy->flags;
	),
	TP_printk("%d,%d -> %d,%d sector %llu len %llu segments %u flags 0x%x",
		  MAJOR(__entry->src), MINOR(__entry->src),
		  MAJOR(__entry->dst), MINOR(__entry->dst),
		  (unsigned long long)__entry->dst_sector, __entry->len,
		  __entry->nr_segs, __entry->flags)
);

DECLARE_EVENT_CLASS(blk_copy_chunk,
	TP_PROTO(const struct blk_copy_chunk *chunk),
	TP_ARGS(chunk),
	TP_STRUCT__entry(
		__field(dev_t,		dst)
		__field(u64,		off)
		__field(u32,		len)
		__field(unsigned int,	entries)
		__field(unsigned int,	pins)
		__field(int,		reason)
		__field(u8,		status)
	),
	TP_fast_assign(
		__entry->dst		= chunk->copy->dst->bd_dev;
		__entry->off		= chunk->start + chunk->cur;
		__entry->len		= chunk->step;
		__entry->entries	= chunk->token.nr_entries;
		__entry->pins		= chunk->token.nr_pins;
		__entry->reason		= chunk->reason;
		__entry->status		= (__force u8)chunk->status;
	),
	TP_printk("%d,%d off %llu len %u entries %u pins %u reason %s status %u",
		  MAJOR(__entry->dst), MINOR(__entry->dst), __entry->off,
		  __entry->len, __entry->entries, __entry->pins,
		  __print_symbolic(__entry->reason, blk_copy_reasons),
		  __entry->status)
);

/* A token is filled and about to be sent; reason and status mean nothing */
DEFINE_EVENT(blk_copy_chunk, blk_copy_token,
	TP_PROTO(const struct blk_copy_chunk *chunk),
	TP_ARGS(chunk)
);

/* A piece is going to be read and written, and why */
DEFINE_EVENT(blk_copy_chunk, blk_copy_fallback,
	TP_PROTO(const struct blk_copy_chunk *chunk),
	TP_ARGS(chunk)
);

/* A copy has ended */
TRACE_EVENT(blk_copy_done,
	TP_PROTO(const struct blk_copy *copy),
	TP_ARGS(copy),
	TP_STRUCT__entry(
		__field(dev_t,		dst)
		__field(u64,		done)
		__field(u64,		offloaded)
		__field(u64,		emulated)
		__field(int,		error)
	),
	TP_fast_assign(
		__entry->dst		= copy->dst->bd_dev;
		__entry->done		= copy->bytes_done;
		__entry->offloaded	= copy->bytes_offloaded;
		__entry->emulated	= copy->bytes_emulated;
		__entry->error		= copy->error;
	),
	TP_printk("%d,%d done %llu offloaded %llu emulated %llu error %d",
		  MAJOR(__entry->dst), MINOR(__entry->dst), __entry->done,
		  __entry->offloaded, __entry->emulated, __entry->error)
);

#endif /* _TRACE_BLK_COPY_H */

#include <trace/define_trace.h>
