// One open V4L2 node: a file descriptor, up to two buffer queues (capture, and output for encoders) and one
// libuv poll handle. Everything runs on the thread of the JavaScript that opened it.
#ifndef V4L2CAMERA_DEVICE_H
#define V4L2CAMERA_DEVICE_H

#include <linux/videodev2.h>
#include <stddef.h>

#include "js.h"
#include "uv_min.h"

// videobuf2's own limit.
#define MAX_BUFFERS VIDEO_MAX_FRAME

typedef struct {
  void *start;
  size_t length;
} Plane;

typedef struct {
  Plane planes[VIDEO_MAX_PLANES];
  uint32_t plane_count;
  bool queued;                      // with the driver
  napi_ref views[VIDEO_MAX_PLANES]; // lasting ArrayBuffers over the planes, for lent frames
} Buffer;

typedef struct {
  uint32_t type;  // enum v4l2_buf_type
  bool streaming;
  bool lend;  // frames are views of the buffers until released, instead of copies
  uint32_t count;
  Buffer *buffers;  // `count` of them while started
  uint32_t generation;  // raised by every stop: tells a delivery loop that its callback stopped or restarted us
  struct v4l2_format format;  // as granted when streaming started
  bool sequence_known;
  uint32_t next_sequence;
  uint32_t lost;  // frames not delivered since the last delivered one
} Queue;

typedef struct Device {
  napi_env env;
  napi_ref self;  // weak; strong while streaming, so that garbage collection cannot stop a live camera
  int fd;         // -1: closed
  uv_poll_t *poll;
  int polled;          // events asked of libuv, 0 when not polling
  bool failed;         // an error was reported: no polling until every queue was stopped
  bool restart_poll;   // v4l2loopback, see poll.c
  uint32_t progress;   // buffers and events handled, ever
  uint32_t idle_polls; // wake-ups in a row that brought nothing
  Queue capture, output;
  uint32_t references; // the JavaScript object, and each poll handle on its way out
  uint32_t closing;    // poll handles whose close callback has not run
  bool environment_ends;
  napi_async_cleanup_hook_handle cleanup;
} Device;

// ioctl that is not disturbed by signals; 0 or an errno.
int device_ioctl(const Device *device, unsigned long request, void *argument);
// Stops everything and closes the file; safe to call again.
void device_close(Device *device);
void device_release(Device *device);
// The receiver of a method call, open; throws and returns NULL otherwise. `arguments` are filled up with undefined.
Device *device_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments);

bool type_is_multiplanar(uint32_t type);
bool type_is_output(uint32_t type);
// Reads a buffer type argument (V4L2_BUF_TYPE_VIDEO_{CAPTURE,OUTPUT}[_MPLANE]).
bool type_argument(napi_env env, napi_value value, uint32_t *type);
Queue *device_queue(Device *device, uint32_t type);

// poll.c
// Polls for exactly what can happen now; 0 or an errno.
int poll_update(Device *device);
void poll_close(Device *device);
// Calls self[handler](...arguments). False: JavaScript can no longer run.
bool device_call(Device *device, const char *handler, size_t count, napi_value *arguments);
// Stops polling and calls self.onerror.
void device_fail(Device *device, const char *syscall, int error);

// stream.c
void queue_stop(Device *device, Queue *queue);
// Hands over all that the driver has finished. False when the device was stopped, failed or closed meanwhile.
bool queue_drain(Device *device, Queue *queue);
napi_value method_start(napi_env env, napi_callback_info info);
napi_value method_stop(napi_env env, napi_callback_info info);
napi_value method_release(napi_env env, napi_callback_info info);
napi_value method_write(napi_env env, napi_callback_info info);

// picture.c
typedef struct {
  uint32_t fourcc, width, height, plane_count;
  uint32_t bytes_per_line[VIDEO_MAX_PLANES];
  Plane planes[VIDEO_MAX_PLANES];
} Picture;
// Copies the visible picture component by component, each to the target's stride. 0, EINVAL (layouts that do not
// fit together) or EMSGSIZE (a plane is shorter than its format says).
int picture_copy(const Picture *target, const Picture *source);

// enumerate.c, format.c, control.c
napi_value method_info(napi_env env, napi_callback_info info);
napi_value method_formats(napi_env env, napi_callback_info info);
napi_value method_sizes(napi_env env, napi_callback_info info);
napi_value method_intervals(napi_env env, napi_callback_info info);
napi_value method_get_format(napi_env env, napi_callback_info info);
napi_value method_set_format(napi_env env, napi_callback_info info);
napi_value method_get_interval(napi_env env, napi_callback_info info);
napi_value method_set_interval(napi_env env, napi_callback_info info);
napi_value method_crop(napi_env env, napi_callback_info info);
napi_value method_controls(napi_env env, napi_callback_info info);
napi_value method_get_control(napi_env env, napi_callback_info info);
napi_value method_set_control(napi_env env, napi_callback_info info);
napi_value method_subscribe(napi_env env, napi_callback_info info);
bool control_ids(napi_env env, napi_value exports);

#endif
