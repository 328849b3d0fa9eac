#include "js.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "uv_min.h"

napi_value js_error(napi_env env, const char *syscall, int error) {
  char text[160];
  snprintf(text, sizeof text, "%s: %s", syscall, strerror(error));
  napi_value message, code, result;
  if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message) != napi_ok) return NULL;
  if (napi_create_string_utf8(env, uv_err_name(-error), NAPI_AUTO_LENGTH, &code) != napi_ok) return NULL;
  if (napi_create_error(env, code, message, &result) != napi_ok) return NULL;
  bool filled = js_put_number(env, result, "errno", error) &&
                js_put_text(env, result, "syscall", syscall, strlen(syscall));
  return filled ? result : NULL;
}

napi_value js_throw(napi_env env, const char *syscall, int error) {
  napi_value value = js_error(env, syscall, error);
  if (value) napi_throw(env, value);
  return NULL;
}

napi_value js_object(napi_env env) {
  napi_value object;
  return napi_create_object(env, &object) == napi_ok ? object : NULL;
}

napi_value js_array(napi_env env) {
  napi_value array;
  return napi_create_array(env, &array) == napi_ok ? array : NULL;
}

bool js_put(napi_env env, napi_value object, const char *key, napi_value value) {
  return object && value && napi_set_named_property(env, object, key, value) == napi_ok;
}

bool js_put_number(napi_env env, napi_value object, const char *key, double value) {
  napi_value number;
  return napi_create_double(env, value, &number) == napi_ok && js_put(env, object, key, number);
}

bool js_put_int64(napi_env env, napi_value object, const char *key, int64_t value) {
  napi_value number;
  return napi_create_bigint_int64(env, value, &number) == napi_ok && js_put(env, object, key, number);
}

bool js_put_text(napi_env env, napi_value object, const char *key, const void *text, size_t size) {
  napi_value string;
  return napi_create_string_utf8(env, text, strnlen(text, size), &string) == napi_ok &&
         js_put(env, object, key, string);
}

bool js_push(napi_env env, napi_value array, uint32_t index, napi_value value) {
  return array && value && napi_set_element(env, array, index, value) == napi_ok;
}

static bool out_of_range(napi_env env, const char *name, const char *bounds) {
  char text[160];
  snprintf(text, sizeof text, "%s must be an integer %s", name, bounds);
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", text);
  return false;
}

bool js_int64(napi_env env, napi_value value, const char *name, int64_t minimum, int64_t maximum, int64_t *result) {
  char text[96];
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok) return false;
  snprintf(text, sizeof text, "from %lld to %lld", (long long)minimum, (long long)maximum);
  int64_t integer;
  if (type == napi_bigint) {
    bool lossless;
    if (napi_get_value_bigint_int64(env, value, &integer, &lossless) != napi_ok) return false;
    if (!lossless) return out_of_range(env, name, text);
  } else if (type == napi_number) {
    double number;
    if (napi_get_value_double(env, value, &number) != napi_ok) return false;
    // Beyond 2^53 a double no longer names one integer: such values must come as a bigint.
    if (!(fabs(number) <= 9007199254740991.0) || number != floor(number)) return out_of_range(env, name, text);
    integer = (int64_t)number;
  } else {
    snprintf(text, sizeof text, "%s must be a number", name);
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", text);
    return false;
  }
  if (integer < minimum || integer > maximum) return out_of_range(env, name, text);
  *result = integer;
  return true;
}

bool js_uint32(napi_env env, napi_value value, const char *name, uint32_t minimum, uint32_t maximum, uint32_t *result) {
  int64_t integer;
  if (!js_int64(env, value, name, minimum, maximum, &integer)) return false;
  *result = (uint32_t)integer;
  return true;
}

bool js_is_undefined(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_undefined;
}

bool js_property_uint32(napi_env env, napi_value object, const char *key, uint32_t maximum, uint32_t *result) {
  napi_value value;
  napi_valuetype type;
  if (napi_get_named_property(env, object, key, &value) != napi_ok) return false;
  if (napi_typeof(env, value, &type) != napi_ok) return false;
  return type == napi_undefined || js_uint32(env, value, key, 0, maximum, result);
}
