// SPDX-License-Identifier: GPL-2.0
/*
 * Replays an H.264 clip as a camera and as an encoder. Parameters (in /sys/module/peercam_replay/parameters):
 *   clip         file to replay (load time)
 *   multiplanar  use the multi-planar API, raw pictures as NM12 (load time)
 *   stall        true: both nodes deliver nothing
 *   skip         lose so many frames (sequence numbers go on)
 *   eio          write 1: a fatal error on every queue, until it is stopped
 *   plugged      0: both nodes go away, also while streaming; 1: they come back
 *   input_crc    CRC-32 of the visible part of the last raw picture that was encoded
 */
#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/platform_device.h>

#include "replay.h"

bool replay_multiplanar;
bool replay_stalled;
unsigned int replay_input_crc;

static char *clip_path;
static int frames_to_skip;
static struct platform_device *platform;
static struct v4l2_device parent;
static struct capture *capture;
static struct encoder *encoder;

bool replay_skip_one(void)
{
	int left = READ_ONCE(frames_to_skip);

	if (left <= 0)
		return false;
	WRITE_ONCE(frames_to_skip, left - 1);
	return true;
}

static void unplug(void)
{
	if (encoder)
		encoder_unplug(encoder);
	if (capture)
		capture_unplug(capture);
	encoder = NULL;
	capture = NULL;
}

static int plug(void)
{
	struct capture *new_capture;
	struct encoder *new_encoder;

	if (capture)
		return 0;
	new_capture = capture_plug(&parent);
	if (IS_ERR(new_capture))
		return PTR_ERR(new_capture);
	new_encoder = encoder_plug(&parent);
	if (IS_ERR(new_encoder)) {
		capture_unplug(new_capture);
		return PTR_ERR(new_encoder);
	}
	capture = new_capture;
	encoder = new_encoder;
	return 0;
}

/* The kernel serialises writes to a module's parameters. */
static int set_plugged(const char *text, const struct kernel_param *param)
{
	bool wanted;
	int error = kstrtobool(text, &wanted);

	if (error || !platform)
		return error ? error : -EBUSY;
	if (wanted)
		return plug();
	unplug();
	return 0;
}

static int get_plugged(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%d\n", capture != NULL);
}

static int set_eio(const char *text, const struct kernel_param *param)
{
	if (!capture)
		return -ENODEV;
	capture_fail(capture);
	encoder_fail(encoder);
	return 0;
}

static const struct kernel_param_ops plugged_ops = { .set = set_plugged, .get = get_plugged };
static const struct kernel_param_ops eio_ops = { .set = set_eio };

module_param_named(clip, clip_path, charp, 0444);
module_param_named(multiplanar, replay_multiplanar, bool, 0444);
module_param_named(stall, replay_stalled, bool, 0644);
module_param_named(skip, frames_to_skip, int, 0644);
module_param_named(input_crc, replay_input_crc, uint, 0444);
module_param_cb(plugged, &plugged_ops, NULL, 0644);
module_param_cb(eio, &eio_ops, NULL, 0200);

static int __init replay_init(void)
{
	int error;

	if (!clip_path)
		return -EINVAL;
	error = clip_load(clip_path);
	if (error)
		return error;
	platform = platform_device_register_simple(REPLAY_NAME, -1, NULL, 0);
	if (IS_ERR(platform)) {
		error = PTR_ERR(platform);
		goto no_platform;
	}
	/* There is no platform driver to take a name from. */
	strscpy(parent.name, REPLAY_NAME, sizeof(parent.name));
	error = v4l2_device_register(&platform->dev, &parent);
	if (error)
		goto no_parent;
	error = plug();
	if (!error)
		return 0;
	v4l2_device_unregister(&parent);
no_parent:
	platform_device_unregister(platform);
no_platform:
	platform = NULL;
	clip_free();
	return error;
}

static void __exit replay_exit(void)
{
	unplug();
	v4l2_device_unregister(&parent);
	platform_device_unregister(platform);
	clip_free();
}

module_init(replay_init);
module_exit(replay_exit);
MODULE_DESCRIPTION("Replays an H.264 clip as a V4L2 camera and encoder");
MODULE_LICENSE("GPL");
