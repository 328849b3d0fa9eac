// When the device has something for us: libuv's poll on its file descriptor.
//
// The handle exists only while a queue streams: uv_poll_init probes the descriptor with EPOLLIN, and on a driver
// with V4L2_CAP_READWRITE a POLLIN before REQBUFS starts videobuf2's read() mode (S_FMT and REQBUFS: EBUSY until
// close).
#include <errno.h>
#include <stdlib.h>

#include "device.h"

// Wake-ups in a row that bring neither a buffer nor an event: an error state the driver does not name.
#define MAX_IDLE_POLLS 50

static void on_closed(uv_handle_t *handle) {
  Device *device = handle->data;
  free(handle);
  device->closing--;
  if (device->environment_ends && device->closing == 0 && device->cleanup) {
    napi_remove_async_cleanup_hook(device->cleanup);
    device->cleanup = NULL;
  }
  device_release(device);
}

void poll_close(Device *device) {
  if (!device->poll) return;
  uv_poll_stop(device->poll);
  device->closing++;
  device->references++;
  uv_close((uv_handle_t *)device->poll, on_closed);
  device->poll = NULL;
  device->polled = 0;
}

static bool has_queued(const Queue *queue) {
  for (uint32_t i = 0; queue->streaming && i < queue->count; i++)
    if (queue->buffers[i].queued) return true;
  return false;
}

static void on_ready(uv_poll_t *handle, int status, int events);

static int poll_open(Device *device) {
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(device->env, (struct uv_loop_s **)&loop) != napi_ok) return ECANCELED;
  uv_poll_t *poll = calloc(1, uv_handle_size(UV_POLL));
  if (!poll) return ENOMEM;
  int result = uv_poll_init(loop, poll, device->fd);
  if (result) {
    free(poll);
    return -result;
  }
  poll->data = device;
  device->poll = poll;
  return 0;
}

int poll_update(Device *device) {
  if (!device->capture.streaming && !device->output.streaming) {
    poll_close(device);
    device->failed = false;
    return 0;
  }
  if (device->failed) return 0;
  int events = (has_queued(&device->capture) ? UV_READABLE : 0) | (has_queued(&device->output) ? UV_WRITABLE : 0);
  if (!events) {
    // With nothing queued an M2M device answers POLLERR for ever, which libuv reports as "everything you asked
    // for": the loop would spin.
    if (device->poll) uv_poll_stop(device->poll);
    device->polled = 0;
    return 0;
  }
  events |= UV_PRIORITIZED;  // POLLPRI: V4L2 events, and the unplugging
  if (events == device->polled) return 0;
  int error = device->poll ? 0 : poll_open(device);
  if (error) return error;
  error = -uv_poll_start(device->poll, events, on_ready);
  device->polled = error ? 0 : events;
  return error;
}

bool device_call(Device *device, const char *handler, size_t count, napi_value *arguments) {
  napi_env env = device->env;
  napi_value self, function, result;
  if (napi_get_reference_value(env, device->self, &self) != napi_ok || !self) return false;
  if (napi_get_named_property(env, self, handler, &function) != napi_ok) return false;
  if (js_is_undefined(env, function)) return true;
  if (napi_make_callback(env, NULL, self, function, count, arguments, &result) == napi_ok) return true;
  bool thrown = false;
  if (napi_is_exception_pending(env, &thrown) != napi_ok || !thrown) return false;  // a worker being terminated
  napi_value exception;
  if (napi_get_and_clear_last_exception(env, &exception) != napi_ok) return false;
  napi_fatal_exception(env, exception);  // becomes 'uncaughtException', as from any other callback
  return true;
}

void device_fail(Device *device, const char *syscall, int error) {
  device->failed = true;
  poll_close(device);  // an unplugged device is "ready" for ever
  napi_value value = js_error(device->env, syscall, error);
  if (value) device_call(device, "onerror", 1, &value);
}

static bool deliver_event(Device *device, const struct v4l2_event *event) {
  napi_env env = device->env;
  napi_value object = js_object(env);
  bool filled = js_put_number(env, object, "type", event->type) && js_put_number(env, object, "id", event->id) &&
                js_put_number(env, object, "sequence", event->sequence);
  if (filled && event->type == V4L2_EVENT_SOURCE_CHANGE)
    filled = js_put_number(env, object, "changes", event->u.src_change.changes);
  if (filled && event->type == V4L2_EVENT_CTRL)
    filled = js_put_number(env, object, "changes", event->u.ctrl.changes) &&
             (event->u.ctrl.type == V4L2_CTRL_TYPE_INTEGER64
                  ? js_put_int64(env, object, "value", event->u.ctrl.value64)
                  : js_put_number(env, object, "value", event->u.ctrl.value));
  return filled && device_call(device, "onevent", 1, &object);
}

// False when the device failed, was closed, or JavaScript is gone.
static bool drain_events(Device *device) {
  uint32_t pending = 1;
  while (pending) {
    struct v4l2_event event = {0};
    int error = device_ioctl(device, VIDIOC_DQEVENT, &event);
    if (error == ENOENT || error == EAGAIN || error == ENOTTY) return true;
    if (error) {
      device_fail(device, "VIDIOC_DQEVENT", error);
      return false;
    }
    pending = event.pending;
    device->progress++;
    if (!deliver_event(device, &event)) {
      device->failed = true;
      poll_close(device);
      return false;
    }
    if (device->fd < 0 || device->failed) return false;
  }
  return true;
}

static void handle_ready(Device *device, int status, int events) {
  if (status < 0) {  // POLLERR without POLLPRI; libuv has stopped the handle
    struct v4l2_capability caps;
    int error = device_ioctl(device, VIDIOC_QUERYCAP, &caps);
    device_fail(device, "poll", error ? error : EIO);
    return;
  }
  uint32_t before = device->progress;
  if ((events & UV_PRIORITIZED) && !drain_events(device)) return;
  if ((events & UV_WRITABLE) && device->output.streaming && !queue_drain(device, &device->output)) return;
  if ((events & UV_READABLE) && device->capture.streaming && !queue_drain(device, &device->capture)) return;
  if (device->progress != before) device->idle_polls = 0;
  else if (device->poll && ++device->idle_polls > MAX_IDLE_POLLS) device_fail(device, "poll", EIO);
}

static void on_ready(uv_poll_t *handle, int status, int events) {
  Device *device = handle->data;
  if (device->poll != handle) return;  // being closed
  napi_env env = device->env;
  napi_handle_scope scope;
  napi_value self, probe;
  void *memory;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  // A worker that is being torn down runs its loop once more before the cleanup hooks: no JavaScript value can be
  // made any longer. `self` on the stack keeps the device from being collected during the callbacks.
  bool alive = napi_get_reference_value(env, device->self, &self) == napi_ok && self &&
               napi_create_arraybuffer(env, 0, &memory, &probe) == napi_ok;
  if (!alive) {
    device->failed = true;
    poll_close(device);
  } else {
    handle_ready(device, status, events);
    if (device->fd >= 0) {
      int error = poll_update(device);
      if (error) device_fail(device, "poll", error);
    }
    // v4l2loopback joins the wait queue only when nothing was readable as the descriptor was added: add it again.
    if (device->restart_poll && device->poll && device->polled) {
      uv_poll_stop(device->poll);
      uv_poll_start(device->poll, device->polled, on_ready);
    }
  }
  napi_close_handle_scope(env, scope);
}
