// Small, checked steps between C and JavaScript values. Every function returns false (or NULL) when an
// exception is pending or when JavaScript can no longer run; the caller then returns at once.
#ifndef V4L2CAMERA_JS_H
#define V4L2CAMERA_JS_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

// An Error with `code` ("ENODEV"), `errno` and `syscall` (the ioctl), or NULL.
napi_value js_error(napi_env env, const char *syscall, int error);
// Throws that error; always returns NULL.
napi_value js_throw(napi_env env, const char *syscall, int error);

napi_value js_object(napi_env env);
napi_value js_array(napi_env env);
bool js_put(napi_env env, napi_value object, const char *key, napi_value value);
bool js_put_number(napi_env env, napi_value object, const char *key, double value);
bool js_put_int64(napi_env env, napi_value object, const char *key, int64_t value);
// A fixed-size kernel string: ends at NUL or at `size`.
bool js_put_text(napi_env env, napi_value object, const char *key, const void *text, size_t size);
bool js_push(napi_env env, napi_value array, uint32_t index, napi_value value);

// Integers from outside: a TypeError when not a number, a RangeError outside [minimum, maximum].
bool js_uint32(napi_env env, napi_value value, const char *name, uint32_t minimum, uint32_t maximum, uint32_t *result);
bool js_int64(napi_env env, napi_value value, const char *name, int64_t minimum, int64_t maximum, int64_t *result);
// The same for a property; `*result` stays untouched when it is undefined.
bool js_property_uint32(napi_env env, napi_value object, const char *key, uint32_t maximum, uint32_t *result);
bool js_is_undefined(napi_env env, napi_value value);

#endif
