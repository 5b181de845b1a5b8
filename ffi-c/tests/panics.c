/* SPDX-License-Identifier: Apache-2.0
 *
 * Every entry contains a panic: it is a status, or the value that stands for nothing. Needs the library with its feature `testing`.
 */
#include <proxyless.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void pxl_testing_panic_next(void);
extern unsigned char pxl_testing_panic_is_due(void);

#define PANICS(call, held)                                                          \
  do {                                                                              \
    pxl_testing_panic_next();                                                       \
    call;                                                                           \
    if (!(held) || pxl_testing_panic_is_due()) {                                    \
      fprintf(stderr, "%s:%d: %s, expected %s\n", __FILE__, __LINE__, #call, #held); \
      exit(1);                                                                      \
    }                                                                               \
  } while (0)

static pxl_str str(const char *text) { return (pxl_str){text, strlen(text)}; }

int main(void) {
  pxl_error err;
  pxl_status status;
  pxl_client *client = NULL;
  pxl_snapshot *snapshot = NULL;
  pxl_target target;
  pxl_locality locality;
  pxl_extension extension;
  pxl_buf json = {NULL, 0};
  pxl_str text;
  uint64_t number = 7;
  int64_t age;
  pxl_str options = str("{\"server\": \"http://127.0.0.1:1\"}");

#define IS_PANIC (status == PXL_ERR_PANIC && err.status == status && strstr(err.message, "contained") && err.len > 0)
  PANICS(status = pxl_client_open(options, &client, &err), IS_PANIC && client == NULL);
  PANICS(status = pxl_client_open(options, &client, NULL), status == PXL_ERR_PANIC && client == NULL);
  if (pxl_client_open(options, &client, &err) != PXL_OK) return 1;
  PANICS(status = pxl_client_watch(client, str("a"), &err), IS_PANIC);
  PANICS(status = pxl_client_unwatch(client, str("a"), &err), IS_PANIC);
  PANICS(status = pxl_client_wait(client, 0, 0, &number, &err), IS_PANIC && number == 7);
  PANICS(status = pxl_client_describe(client, &json, &err), IS_PANIC && json.ptr == NULL);
  PANICS(status = pxl_client_snapshot(client, &snapshot, &err), IS_PANIC && snapshot == NULL);
  PANICS(number = pxl_client_epoch(client), number == 0);
  PANICS(age = pxl_client_stale_ms(client), age == INT64_MAX);
  PANICS(pxl_client_shutdown(client), 1);

  if (pxl_client_snapshot(client, &snapshot, &err) != PXL_OK) return 1;
  PANICS(number = pxl_snapshot_epoch(snapshot), number == 0);
  PANICS(status = pxl_snapshot_target(snapshot, str("a"), &target, &err), IS_PANIC);
  PANICS(status = pxl_snapshot_locality(snapshot, str("a"), 0, &locality, &err), IS_PANIC);
  PANICS(status = pxl_snapshot_extension(snapshot, str("a"), 1, &extension, &err), IS_PANIC);
  PANICS(status = pxl_snapshot_traffic(snapshot, str("a"), &json, &err), IS_PANIC && json.ptr == NULL);
  PANICS(number = pxl_abi_version(), number == 0);
  PANICS(text = pxl_version(), text.len == 0 && *text.ptr == 0);
  PANICS(text = pxl_status_name(PXL_OK), text.len == 0 && *text.ptr == 0);

  /* What a free did not get to do is leaked, not done twice: freed now. */
  PANICS(pxl_snapshot_free(snapshot), 1);
  pxl_snapshot_free(snapshot);
  PANICS(pxl_client_free(client), 1);
  pxl_client_free(client);
  PANICS(pxl_buf_free(json), 1);
  puts("ok");
  return 0;
}
