/* SPDX-License-Identifier: Apache-2.0
 *
 * What callers get wrong: every case is a status, never a crash. Built with AddressSanitizer by the test that runs it.
 */
#include <proxyless.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPECT(what)                                                  \
  do {                                                                \
    if (!(what)) {                                                    \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);      \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

static pxl_str str(const char *text) { return (pxl_str){text, strlen(text)}; }

static const char OPTIONS[] = "{\"server\": \"http://127.0.0.1:1\"}";

static void nulls(void) {
  pxl_error err = {0};
  uint64_t epoch = 7;
  pxl_snapshot *snapshot = NULL;
  pxl_buf json = {NULL, 0};
  pxl_target target;
  pxl_locality locality;
  pxl_extension extension;
  EXPECT(pxl_client_open(str(OPTIONS), NULL, &err) == PXL_ERR_NULL);
  EXPECT(err.status == PXL_ERR_NULL && strstr(err.message, "out_client"));
  EXPECT(pxl_client_open(str("{}"), NULL, NULL) == PXL_ERR_NULL);
  EXPECT(pxl_client_watch(NULL, str("a"), &err) == PXL_ERR_NULL && strstr(err.message, "client"));
  EXPECT(pxl_client_unwatch(NULL, str("a"), &err) == PXL_ERR_NULL);
  EXPECT(pxl_client_wait(NULL, 0, 0, &epoch, &err) == PXL_ERR_NULL && epoch == 7);
  EXPECT(pxl_client_describe(NULL, &json, &err) == PXL_ERR_NULL && json.ptr == NULL);
  EXPECT(pxl_client_snapshot(NULL, &snapshot, &err) == PXL_ERR_NULL && snapshot == NULL);
  EXPECT(pxl_snapshot_target(NULL, str("a"), &target, &err) == PXL_ERR_NULL);
  EXPECT(pxl_snapshot_locality(NULL, str("a"), 0, &locality, &err) == PXL_ERR_NULL);
  EXPECT(pxl_snapshot_extension(NULL, str("a"), 1, &extension, &err) == PXL_ERR_NULL);
  EXPECT(pxl_snapshot_traffic(NULL, str("a"), &json, &err) == PXL_ERR_NULL && json.ptr == NULL);
  EXPECT(pxl_client_epoch(NULL) == 0 && pxl_snapshot_epoch(NULL) == 0);
  EXPECT(pxl_client_stale_ms(NULL) == INT64_MAX); /* not in sync */
  pxl_client_shutdown(NULL);
  pxl_client_free(NULL);
  pxl_snapshot_free(NULL);
  pxl_buf_free((pxl_buf){NULL, 0});
  pxl_buf_free((pxl_buf){NULL, 5});
}

static void null_places(const pxl_client *client, const pxl_snapshot *snapshot) {
  pxl_error err = {0};
  EXPECT(pxl_client_wait(client, 0, 0, NULL, &err) == PXL_ERR_NULL && strstr(err.message, "out_epoch"));
  EXPECT(pxl_client_describe(client, NULL, &err) == PXL_ERR_NULL && strstr(err.message, "out_json"));
  EXPECT(pxl_client_snapshot(client, NULL, &err) == PXL_ERR_NULL && strstr(err.message, "out_snapshot"));
  EXPECT(pxl_snapshot_target(snapshot, str("a"), NULL, &err) == PXL_ERR_NULL && strstr(err.message, "out_target"));
  EXPECT(pxl_snapshot_locality(snapshot, str("a"), 0, NULL, &err) == PXL_ERR_NULL && strstr(err.message, "out_locality"));
  EXPECT(pxl_snapshot_extension(snapshot, str("a"), 1, NULL, &err) == PXL_ERR_NULL && strstr(err.message, "out_extension"));
  EXPECT(pxl_snapshot_traffic(snapshot, str("a"), NULL, &err) == PXL_ERR_NULL && strstr(err.message, "out_json"));
  EXPECT(pxl_client_watch(client, (pxl_str){NULL, 1}, &err) == PXL_ERR_NULL && strstr(err.message, "target"));
  EXPECT(pxl_client_watch(client, (pxl_str){NULL, 0}, NULL) == PXL_ERR_TARGET);
}

/* A length that is no length is refused before a byte is read: there are only three. */
static void lengths(const pxl_client *client, const pxl_snapshot *snapshot) {
  static const size_t wrong[] = {SIZE_MAX, (size_t)-2, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX, (size_t)1 << 32, ((size_t)16 << 20) + 1};
  pxl_error err = {0};
  pxl_client *none = NULL;
  pxl_target target;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    pxl_str text = {"abc", wrong[i]};
    EXPECT(pxl_client_open(text, &none, &err) == PXL_ERR_RANGE && none == NULL && strstr(err.message, "options_json"));
    EXPECT(pxl_client_watch(client, text, &err) == PXL_ERR_RANGE);
    EXPECT(pxl_client_unwatch(client, text, &err) == PXL_ERR_RANGE);
    EXPECT(pxl_snapshot_target(snapshot, text, &target, &err) == PXL_ERR_RANGE);
  }
}

static void options(const char *text, const char *named) {
  pxl_error err = {0};
  pxl_client *client = NULL;
  pxl_status status = pxl_client_open(str(text), &client, &err);
  if (status != PXL_ERR_CONFIG || client != NULL || !strstr(err.message, named)) {
    fprintf(stderr, "%.60s: %d %s\n", text, status, err.message);
    exit(1);
  }
  EXPECT(err.status == status && err.len == strlen(err.message) && err.len < sizeof err.message);
}

static void bad_texts(void) {
  pxl_error err = {0};
  pxl_client *client = NULL;
  EXPECT(pxl_client_open(str("\xff"), &client, &err) == PXL_ERR_UTF8 && client == NULL);
  EXPECT(pxl_client_open((pxl_str){"{}\0 ", 4}, &client, &err) == PXL_ERR_UTF8 && strstr(err.message, "NUL at byte 2"));
  EXPECT(pxl_client_open((pxl_str){NULL, 5}, &client, &err) == PXL_ERR_NULL);
  options("{", "line 1");
  options("{\"servre\": 1}", "servre");
  options("{\"server\": 1}", "server");
  options("{\"server\": {\"a\": [1, null]}}", "server");
  options("{\"server\": \"http://a:1\", \"server\": \"http://b:1\"}", "server");
  options("[]", "object");
  options("7", "object");
  char *huge = malloc(4 << 20);
  memset(huge, 'x', 4 << 20);
  huge[(4 << 20) - 1] = 0;
  options(huge, "");
  memset(huge, '[', 100000); /* deep, too */
  huge[100000] = 0;
  options(huge, "");
  free(huge);
}

static void static_texts(void) {
  static const pxl_status known[] = {PXL_OK, PXL_TIMEOUT, PXL_SHUTDOWN, PXL_ERR_NULL, PXL_ERR_UTF8, PXL_ERR_RANGE, PXL_ERR_CONFIG,
                                     PXL_ERR_TARGET, PXL_ERR_NOT_WATCHED, PXL_ERR_FORKED, PXL_ERR_SYSTEM, PXL_ERR_PANIC};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    pxl_str name = pxl_status_name(known[i]);
    EXPECT(strlen(name.ptr) == name.len && strncmp(name.ptr, "PXL_", 4) == 0);
  }
  EXPECT(strcmp(pxl_status_name(PXL_ERR_CONFIG).ptr, "PXL_ERR_CONFIG") == 0);
  EXPECT(strcmp(pxl_status_name(INT32_MIN).ptr, "unknown status") == 0);
  pxl_str version = pxl_version();
  EXPECT(version.len > 0 && strlen(version.ptr) == version.len);
  EXPECT(sizeof(pxl_status) == 4);
}

static void *wait_for_ever(void *client) {
  uint64_t epoch = 0;
  pxl_status status = PXL_OK;
  for (uint64_t since = 0; status == PXL_OK; since = epoch) status = pxl_client_wait(client, since, -1, &epoch, NULL);
  return (void *)(intptr_t)status;
}

/* The parent's client is refused everywhere and is never in sync; its snapshots are memory like any other; a client opened here is
 * one of its own. */
static void in_a_forked_child(pxl_client *client, const pxl_snapshot *taken) {
  pxl_error err = {0};
  pxl_snapshot *snapshot = NULL;
  pxl_client *own = NULL;
  pxl_target target;
  pxl_buf json = {NULL, 0};
  uint64_t epoch = 7;
  EXPECT(pxl_client_watch(client, str("c"), &err) == PXL_ERR_FORKED);
  EXPECT(pxl_client_unwatch(client, str("a"), &err) == PXL_ERR_FORKED);
  EXPECT(pxl_client_wait(client, 0, -1, &epoch, &err) == PXL_ERR_FORKED && epoch == 7);
  EXPECT(pxl_client_snapshot(client, &snapshot, &err) == PXL_ERR_FORKED && snapshot == NULL);
  EXPECT(pxl_client_describe(client, &json, &err) == PXL_ERR_FORKED && json.ptr == NULL);
  EXPECT(pxl_client_epoch(client) == 0 && pxl_client_stale_ms(client) == INT64_MAX);
  EXPECT(pxl_snapshot_target(taken, str("a"), &target, &err) == PXL_OK);
  pxl_client_shutdown(client);
  pxl_client_free(client);
  EXPECT(pxl_client_open(str(OPTIONS), &own, &err) == PXL_OK);
  EXPECT(pxl_client_watch(own, str("a"), &err) == PXL_OK);
  EXPECT(pxl_client_wait(own, 0, 60000, &epoch, &err) == PXL_OK);
  EXPECT(pxl_client_snapshot(own, &snapshot, &err) == PXL_OK && pxl_snapshot_epoch(snapshot) >= 1);
  pxl_snapshot_free(snapshot);
  pxl_client_free(own);
}

static void life(void) {
  pxl_error err = {0};
  pxl_client *client = NULL, *other = NULL;
  EXPECT(pxl_client_open(str(OPTIONS), &client, &err) == PXL_OK);
  EXPECT(pxl_client_open(str(OPTIONS), &other, NULL) == PXL_OK);
  EXPECT(pxl_client_watch(client, str("a:b"), &err) == PXL_ERR_TARGET && err.len > 0);
  EXPECT(pxl_client_watch(client, (pxl_str){"a\0b", 3}, &err) == PXL_ERR_UTF8);
  EXPECT(pxl_client_watch(client, str("a"), &err) == PXL_OK);
  EXPECT(err.status == PXL_OK && err.len == 0 && err.message[0] == 0); /* what was there before is gone */
  uint64_t epoch = 0;
  EXPECT(pxl_client_wait(client, 0, 10000, &epoch, &err) == PXL_OK && epoch >= 1);
  /* Nobody listens there; that this is told may be a change of its own. */
  while (pxl_client_wait(client, epoch, 500, &epoch, &err) == PXL_OK) continue;
  EXPECT(pxl_client_wait(client, epoch, 0, &epoch, &err) == PXL_TIMEOUT);
  pxl_snapshot *snapshot = NULL;
  EXPECT(pxl_client_snapshot(client, &snapshot, &err) == PXL_OK);
  pxl_target target = {0};
  EXPECT(pxl_snapshot_target(snapshot, str("a"), &target, &err) == PXL_OK && target.state == PXL_STATE_PENDING);
  EXPECT(target.endpoints == NULL && target.endpoint_count == 0);
  EXPECT(pxl_snapshot_target(snapshot, str("b"), &target, &err) == PXL_ERR_NOT_WATCHED);
  pxl_locality locality;
  pxl_extension extension;
  EXPECT(pxl_snapshot_locality(snapshot, str("a"), 9, &locality, &err) == PXL_ERR_RANGE);
  EXPECT(pxl_snapshot_locality(snapshot, str("a"), UINT16_MAX, &locality, &err) == PXL_ERR_RANGE);
  EXPECT(pxl_snapshot_extension(snapshot, str("a"), 0, &extension, &err) == PXL_ERR_RANGE);
  EXPECT(pxl_snapshot_extension(snapshot, str("a"), UINT32_MAX, &extension, &err) == PXL_ERR_RANGE);
  EXPECT(pxl_snapshot_locality(snapshot, str("b"), 0, &locality, &err) == PXL_ERR_NOT_WATCHED);
  EXPECT(pxl_snapshot_extension(snapshot, str("b"), 1, &extension, &err) == PXL_ERR_NOT_WATCHED);
  EXPECT(target.detail.ptr && target.resolved.ptr && target.order == NULL && target.order_count == 0);
  null_places(client, snapshot);
  lengths(client, snapshot);
  EXPECT(pxl_client_unwatch(client, str("b"), &err) == PXL_OK); /* it never was */
  pxl_buf json = {NULL, 0};
  EXPECT(pxl_client_describe(client, &json, &err) == PXL_OK && json.len > 0 && strlen(json.ptr) == json.len);
  pxl_buf_free(json);
  EXPECT(pxl_snapshot_traffic(snapshot, str("a"), &json, &err) == PXL_OK && json.len == 4 && memcmp(json.ptr, "null", 4) == 0);
  pxl_buf_free(json);
  EXPECT(pxl_snapshot_traffic(snapshot, str("b"), &json, &err) == PXL_ERR_NOT_WATCHED);

  pid_t child = fork();
  if (child == 0) {
    in_a_forked_child(client, snapshot);
    _exit(0);
  }
  int outcome = 1;
  waitpid(child, &outcome, 0);
  EXPECT(outcome == 0);

  pthread_t waiter;
  pthread_create(&waiter, NULL, wait_for_ever, client);
  pxl_client_shutdown(client);
  pxl_client_shutdown(client);
  void *status = NULL;
  pthread_join(waiter, &status);
  EXPECT((pxl_status)(intptr_t)status == PXL_SHUTDOWN);
  EXPECT(pxl_client_watch(client, str("a"), &err) == PXL_SHUTDOWN);
  EXPECT(pxl_client_unwatch(client, str("a"), &err) == PXL_SHUTDOWN);
  EXPECT(pxl_client_describe(client, &json, &err) == PXL_SHUTDOWN);
  EXPECT(pxl_client_wait(client, 0, INT64_MIN, &epoch, &err) == PXL_SHUTDOWN);
  pxl_client_free(client);
  EXPECT(pxl_snapshot_epoch(snapshot) == epoch);
  pxl_snapshot_free(snapshot);
  EXPECT(pxl_client_watch(other, str("a"), &err) == PXL_OK);
  pxl_client_free(other);
}

int main(void) {
  EXPECT(pxl_abi_version() == PXL_ABI_VERSION);
  nulls();
  bad_texts();
  static_texts();
  life();
  puts("ok");
  return 0;
}
