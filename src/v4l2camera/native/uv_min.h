// The part of libuv's stable 1.x ABI that is used here: the node executable exports it, so that only
// node-api-headers (and no full Node source headers) are needed to compile.
#ifndef V4L2CAMERA_UV_MIN_H
#define V4L2CAMERA_UV_MIN_H

#include <stddef.h>

typedef struct uv_loop_s uv_loop_t;
typedef struct uv_handle_s {
  void *data;  // the first, public member of every libuv handle
} uv_handle_t;
typedef struct uv_poll_s {
  void *data;
} uv_poll_t;  // opaque beyond data: allocate uv_handle_size(UV_POLL) bytes

enum { UV_POLL = 8 };
enum { UV_READABLE = 1, UV_WRITABLE = 2, UV_DISCONNECT = 4, UV_PRIORITIZED = 8 };

typedef void (*uv_poll_cb)(uv_poll_t *, int status, int events);
typedef void (*uv_close_cb)(uv_handle_t *);

extern size_t uv_handle_size(int type);
extern int uv_poll_init(uv_loop_t *, uv_poll_t *, int fd);
extern int uv_poll_start(uv_poll_t *, int events, uv_poll_cb);
extern int uv_poll_stop(uv_poll_t *);
extern void uv_close(uv_handle_t *, uv_close_cb);
extern const char *uv_err_name(int);

#endif
