// SPDX-License-Identifier: GPL-2.0
/* The clip: "PCLP", then little-endian u32 width, height, fps, count; per frame u32 headers, length, key, and its bytes. */
#include <linux/kernel_read_file.h>
#include <linux/slab.h>
#include <asm/unaligned.h>
#include <linux/vmalloc.h>

#include "replay.h"

#define CLIP_MAX_BYTES (64u << 20)

struct clip clip;

static u32 word(const u8 **at)
{
	u32 value = get_unaligned_le32(*at);

	*at += 4;
	return value;
}

static int parse(const u8 *at, const u8 *end)
{
	u32 i;

	if (end - at < 20 || memcmp(at, "PCLP", 4))
		return -EINVAL;
	at += 4;
	clip.width = word(&at);
	clip.height = word(&at);
	clip.fps = word(&at);
	clip.count = word(&at);
	if (!clip.width || !clip.height || !clip.fps || !clip.count || clip.count > 100000)
		return -EINVAL;
	clip.frames = kvcalloc(clip.count, sizeof(*clip.frames), GFP_KERNEL);
	if (!clip.frames)
		return -ENOMEM;
	for (i = 0; i < clip.count; i++) {
		struct clip_frame *frame = &clip.frames[i];

		if (end - at < 12)
			return -EINVAL;
		frame->headers = word(&at);
		frame->length = word(&at);
		frame->key = word(&at);
		frame->data = at;
		if (frame->length > end - at || frame->headers > frame->length)
			return -EINVAL;
		at += frame->length;
		clip.longest = max(clip.longest, frame->length);
	}
	return clip.frames[0].key ? 0 : -EINVAL;
}

int clip_load(const char *path)
{
	ssize_t size = kernel_read_file_from_path(path, 0, &clip.file, CLIP_MAX_BYTES, NULL, READING_FIRMWARE);
	int error;

	if (size < 0)
		return size;
	error = parse(clip.file, clip.file + size);
	if (error)
		clip_free();
	return error;
}

void clip_free(void)
{
	kvfree(clip.frames);
	vfree(clip.file);
	memset(&clip, 0, sizeof(clip));
}
