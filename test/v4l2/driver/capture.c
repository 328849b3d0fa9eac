// SPDX-License-Identifier: GPL-2.0
/* A camera with H.264 inside: one queue, frames by the clock. */
#include <linux/slab.h>
#include <media/v4l2-event.h>
#include <media/v4l2-ioctl.h>
#include <media/videobuf2-vmalloc.h>

#include "replay.h"

struct capture {
	struct video_device video;
	struct vb2_queue queue;
	struct reel reel;
	struct mutex lock;       /* ioctls and the queue */
	spinlock_t ready_lock;
	struct list_head ready;  /* buffers to fill */
	struct delayed_work tick;
	struct v4l2_fract interval;
	u32 sequence;
};

static u32 buffer_type(void)
{
	return replay_multiplanar ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_CAPTURE;
}

static void schedule_tick(struct capture *capture)
{
	u64 us = div_u64(1000000ull * capture->interval.numerator, capture->interval.denominator);

	schedule_delayed_work(&capture->tick, max(1ul, usecs_to_jiffies(us)));
}

static struct replay_buffer *take_ready(struct capture *capture)
{
	struct replay_buffer *buffer;
	unsigned long flags;

	spin_lock_irqsave(&capture->ready_lock, flags);
	buffer = list_first_entry_or_null(&capture->ready, struct replay_buffer, list);
	if (buffer)
		list_del(&buffer->list);
	spin_unlock_irqrestore(&capture->ready_lock, flags);
	return buffer;
}

static void tick(struct work_struct *work)
{
	struct capture *capture = container_of(to_delayed_work(work), struct capture, tick);
	struct replay_buffer *buffer;

	schedule_tick(capture);
	if (replay_stalled)
		return;
	if (replay_skip_one()) {
		capture->sequence++;
		return;
	}
	/* Without a free buffer the clip waits, so that a slow machine under emulation loses nothing by itself. */
	buffer = take_ready(capture);
	if (!buffer)
		return;
	reel_write(&capture->reel, &buffer->vb);
	buffer->vb.sequence = capture->sequence++;
	buffer->vb.vb2_buf.timestamp = ktime_get_ns();
	vb2_buffer_done(&buffer->vb.vb2_buf, VB2_BUF_STATE_DONE);
}

/* ---- videobuf2 */

static u32 image_size(void)
{
	return PAGE_ALIGN(clip.longest);
}

static int queue_setup(struct vb2_queue *queue, unsigned int *buffers, unsigned int *planes, unsigned int sizes[],
		       struct device *devices[])
{
	if (*planes)
		return *planes == 1 && sizes[0] >= image_size() ? 0 : -EINVAL;
	*planes = 1;
	sizes[0] = image_size();
	return 0;
}

static void buf_queue(struct vb2_buffer *vb)
{
	struct capture *capture = vb2_get_drv_priv(vb->vb2_queue);
	unsigned long flags;

	spin_lock_irqsave(&capture->ready_lock, flags);
	list_add_tail(&to_replay_buffer(vb)->list, &capture->ready);
	spin_unlock_irqrestore(&capture->ready_lock, flags);
}

static int start_streaming(struct vb2_queue *queue, unsigned int count)
{
	struct capture *capture = vb2_get_drv_priv(queue);

	capture->sequence = 0;
	reel_rewind(&capture->reel);
	schedule_tick(capture);
	return 0;
}

static void stop_streaming(struct vb2_queue *queue)
{
	struct capture *capture = vb2_get_drv_priv(queue);
	struct replay_buffer *buffer;

	cancel_delayed_work_sync(&capture->tick);
	while ((buffer = take_ready(capture)))
		vb2_buffer_done(&buffer->vb.vb2_buf, VB2_BUF_STATE_ERROR);
}

static const struct vb2_ops queue_ops = {
	.queue_setup = queue_setup,
	.buf_queue = buf_queue,
	.start_streaming = start_streaming,
	.stop_streaming = stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

/* ---- ioctls */

static int querycap(struct file *file, void *priv, struct v4l2_capability *cap)
{
	strscpy(cap->driver, REPLAY_NAME, sizeof(cap->driver));
	strscpy(cap->card, "peercam replay camera", sizeof(cap->card));
	strscpy(cap->bus_info, "platform:" REPLAY_NAME, sizeof(cap->bus_info));
	return 0;
}

static int enum_fmt(struct file *file, void *priv, struct v4l2_fmtdesc *format)
{
	if (format->index)
		return -EINVAL;
	format->pixelformat = V4L2_PIX_FMT_H264;
	format->flags = V4L2_FMT_FLAG_COMPRESSED;
	return 0;
}

static int fill_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	if (replay_multiplanar) {
		format->fmt.pix_mp = (struct v4l2_pix_format_mplane){
			.width = clip.width, .height = clip.height, .pixelformat = V4L2_PIX_FMT_H264,
			.field = V4L2_FIELD_NONE, .colorspace = V4L2_COLORSPACE_REC709, .num_planes = 1,
		};
		format->fmt.pix_mp.plane_fmt[0].sizeimage = image_size();
	} else {
		format->fmt.pix = (struct v4l2_pix_format){
			.width = clip.width, .height = clip.height, .pixelformat = V4L2_PIX_FMT_H264,
			.field = V4L2_FIELD_NONE, .colorspace = V4L2_COLORSPACE_REC709, .sizeimage = image_size(),
		};
	}
	return 0;
}

static int set_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	struct capture *capture = video_drvdata(file);

	return vb2_is_busy(&capture->queue) ? -EBUSY : fill_fmt(file, priv, format);
}

static int enum_sizes(struct file *file, void *priv, struct v4l2_frmsizeenum *size)
{
	if (size->index || size->pixel_format != V4L2_PIX_FMT_H264)
		return -EINVAL;
	size->type = V4L2_FRMSIZE_TYPE_DISCRETE;
	size->discrete.width = clip.width;
	size->discrete.height = clip.height;
	return 0;
}

static int enum_intervals(struct file *file, void *priv, struct v4l2_frmivalenum *interval)
{
	if (interval->index || interval->pixel_format != V4L2_PIX_FMT_H264)
		return -EINVAL;
	if (interval->width != clip.width || interval->height != clip.height)
		return -EINVAL;
	interval->type = V4L2_FRMIVAL_TYPE_STEPWISE;
	interval->stepwise.min = (struct v4l2_fract){ 1, 250 };
	interval->stepwise.max = (struct v4l2_fract){ 1, 1 };
	interval->stepwise.step = (struct v4l2_fract){ 1, 250 };
	return 0;
}

static int get_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct capture *capture = video_drvdata(file);

	if (parm->type != buffer_type())
		return -EINVAL;
	parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
	parm->parm.capture.timeperframe = capture->interval;
	parm->parm.capture.readbuffers = 2;
	return 0;
}

static int set_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct capture *capture = video_drvdata(file);
	struct v4l2_fract *wish = &parm->parm.capture.timeperframe;

	if (parm->type != buffer_type())
		return -EINVAL;
	if (wish->numerator && wish->denominator && wish->denominator / wish->numerator <= 250)
		capture->interval = *wish;
	return get_parm(file, priv, parm);
}

static int enum_input(struct file *file, void *priv, struct v4l2_input *input)
{
	if (input->index)
		return -EINVAL;
	input->type = V4L2_INPUT_TYPE_CAMERA;
	strscpy(input->name, "clip", sizeof(input->name));
	return 0;
}

static int get_input(struct file *file, void *priv, unsigned int *index)
{
	*index = 0;
	return 0;
}

static int set_input(struct file *file, void *priv, unsigned int index)
{
	return index ? -EINVAL : 0;
}

static const struct v4l2_ioctl_ops ioctl_ops = {
	.vidioc_querycap = querycap,
	.vidioc_enum_fmt_vid_cap = enum_fmt,
	.vidioc_g_fmt_vid_cap = fill_fmt,
	.vidioc_s_fmt_vid_cap = set_fmt,
	.vidioc_try_fmt_vid_cap = fill_fmt,
	.vidioc_g_fmt_vid_cap_mplane = fill_fmt,
	.vidioc_s_fmt_vid_cap_mplane = set_fmt,
	.vidioc_try_fmt_vid_cap_mplane = fill_fmt,
	.vidioc_enum_framesizes = enum_sizes,
	.vidioc_enum_frameintervals = enum_intervals,
	.vidioc_g_parm = get_parm,
	.vidioc_s_parm = set_parm,
	.vidioc_enum_input = enum_input,
	.vidioc_g_input = get_input,
	.vidioc_s_input = set_input,
	.vidioc_reqbufs = vb2_ioctl_reqbufs,
	.vidioc_create_bufs = vb2_ioctl_create_bufs,
	.vidioc_querybuf = vb2_ioctl_querybuf,
	.vidioc_qbuf = vb2_ioctl_qbuf,
	.vidioc_dqbuf = vb2_ioctl_dqbuf,
	.vidioc_streamon = vb2_ioctl_streamon,
	.vidioc_streamoff = vb2_ioctl_streamoff,
	.vidioc_subscribe_event = v4l2_ctrl_subscribe_event,
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,
};

static const struct v4l2_file_operations file_ops = {
	.owner = THIS_MODULE,
	.open = v4l2_fh_open,
	.release = vb2_fop_release,
	.poll = vb2_fop_poll,
	.mmap = vb2_fop_mmap,
	.unlocked_ioctl = video_ioctl2,
};

/* ---- life */

static void free_capture(struct video_device *video)
{
	struct capture *capture = video_get_drvdata(video);

	v4l2_ctrl_handler_free(&capture->reel.controls);
	kfree(capture);
}

struct capture *capture_plug(struct v4l2_device *parent)
{
	struct capture *capture = kzalloc(sizeof(*capture), GFP_KERNEL);
	struct vb2_queue *queue;
	struct video_device *video;
	int error;

	if (!capture)
		return ERR_PTR(-ENOMEM);
	mutex_init(&capture->lock);
	spin_lock_init(&capture->ready_lock);
	INIT_LIST_HEAD(&capture->ready);
	INIT_DELAYED_WORK(&capture->tick, tick);
	capture->interval = (struct v4l2_fract){ 1, clip.fps };

	queue = &capture->queue;
	queue->type = buffer_type();
	queue->io_modes = VB2_MMAP;
	queue->drv_priv = capture;
	queue->buf_struct_size = sizeof(struct replay_buffer);
	queue->ops = &queue_ops;
	queue->mem_ops = &vb2_vmalloc_memops;
	queue->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
	queue->min_buffers_needed = 1;
	queue->lock = &capture->lock;

	video = &capture->video;
	strscpy(video->name, "peercam replay camera", sizeof(video->name));
	video->fops = &file_ops;
	video->ioctl_ops = &ioctl_ops;
	video->release = free_capture;
	video->v4l2_dev = parent;
	video->ctrl_handler = &capture->reel.controls;
	video->queue = queue;
	video->lock = &capture->lock;
	video->device_caps = V4L2_CAP_STREAMING |
			     (replay_multiplanar ? V4L2_CAP_VIDEO_CAPTURE_MPLANE : V4L2_CAP_VIDEO_CAPTURE);
	video_set_drvdata(video, capture);

	error = reel_init(&capture->reel);
	if (!error)
		error = vb2_queue_init(queue);
	if (!error)
		error = video_register_device(video, VFL_TYPE_VIDEO, -1);
	if (!error)
		return capture;
	free_capture(video);
	return ERR_PTR(error);
}

void capture_fail(struct capture *capture)
{
	mutex_lock(&capture->lock);
	if (vb2_is_streaming(&capture->queue))
		vb2_queue_error(&capture->queue);
	mutex_unlock(&capture->lock);
}

void capture_unplug(struct capture *capture)
{
	/* Unregister first: who is woken by the error must find the device gone. */
	get_device(&capture->video.dev);
	video_unregister_device(&capture->video);
	capture_fail(capture);
	put_device(&capture->video.dev);
}
