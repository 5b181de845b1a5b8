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
  EXPECT(pxl_client_open(str(OPTIONS), NULL, &err) == PXL_ERR_NULL);
  EXPECT(err.status == PXL_ERR_NULL && strstr(err.message, "out_client"));
  EXPECT(pxl_client_open(str("{}"), NULL, NULL) == PXL_ERR_NULL);
  EXPECT(pxl_client_watch(NULL, str("a"), &err) == PXL_ERR_NULL);
  EXPECT(pxl_client_wait(NULL, 0, 0, &epoch, &err) == PXL_ERR_NULL && epoch == 7);
  EXPECT(pxl_client_epoch(NULL) == 0 && pxl_snapshot_epoch(NULL) == 0 && pxl_client_stale_ms(NULL) == -1);
  pxl_client_shutdown(NULL);
  pxl_client_free(NULL);
  pxl_snapshot_free(NULL);
  pxl_buf_free((pxl_buf){NULL, 0});
}

static void bad_texts(void) {
  pxl_error err = {0};
  pxl_client *client = NULL;
  EXPECT(pxl_client_open(str("\xff"), &client, &err) == PXL_ERR_UTF8 && client == NULL);
  EXPECT(pxl_client_open(str("{"), &client, &err) == PXL_ERR_CONFIG);
  EXPECT(pxl_client_open(str("{\"servre\": 1}"), &client, &err) == PXL_ERR_CONFIG && strstr(err.message, "servre"));
  EXPECT(pxl_client_open((pxl_str){NULL, 5}, &client, &err) == PXL_ERR_NULL);
  char *huge = malloc(4000);
  memset(huge, 'x', 3999);
  huge[3999] = 0;
  EXPECT(pxl_client_open(str(huge), &client, &err) == PXL_ERR_CONFIG);
  EXPECT(err.len < sizeof err.message && err.message[err.len] == 0);
  free(huge);
}

static void *wait_for_ever(void *client) {
  uint64_t epoch = 0;
  pxl_status status = PXL_OK;
  for (uint64_t since = 0; status == PXL_OK; since = epoch) status = pxl_client_wait(client, since, -1, &epoch, NULL);
  return (void *)(intptr_t)status;
}

static void life(void) {
  pxl_error err = {0};
  pxl_client *client = NULL, *other = NULL;
  EXPECT(pxl_client_open(str(OPTIONS), &client, &err) == PXL_OK);
  EXPECT(pxl_client_open(str(OPTIONS), &other, &err) == PXL_OK);
  EXPECT(pxl_client_watch(client, str("a:b"), &err) == PXL_ERR_TARGET);
  EXPECT(pxl_client_watch(client, str("a"), &err) == PXL_OK);
  uint64_t epoch = 0;
  EXPECT(pxl_client_wait(client, 0, 10000, &epoch, &err) == PXL_OK && epoch >= 1);
  /* Nobody listens there; that this is told may be a change of its own. */
  while (pxl_client_wait(client, epoch, 500, &epoch, &err) == PXL_OK) continue;
  EXPECT(pxl_client_wait(client, epoch, 0, &epoch, &err) == PXL_TIMEOUT);
  pxl_snapshot *snapshot = NULL;
  EXPECT(pxl_client_snapshot(client, &snapshot, &err) == PXL_OK);
  pxl_target target;
  EXPECT(pxl_snapshot_target(snapshot, str("a"), &target, &err) == PXL_OK && target.state == PXL_STATE_PENDING);
  EXPECT(target.endpoints == NULL && target.endpoint_count == 0);
  EXPECT(pxl_snapshot_target(snapshot, str("b"), &target, &err) == PXL_ERR_NOT_WATCHED);
  pxl_locality locality;
  EXPECT(pxl_snapshot_locality(snapshot, str("a"), 9, &locality, &err) == PXL_ERR_RANGE);
  pxl_buf json = {NULL, 0};
  EXPECT(pxl_client_describe(client, &json, &err) == PXL_OK && json.len > 0);
  pxl_buf_free(json);
  EXPECT(pxl_snapshot_traffic(snapshot, str("a"), &json, &err) == PXL_OK && json.len == 4 && memcmp(json.ptr, "null", 4) == 0);
  pxl_buf_free(json);
  EXPECT(pxl_snapshot_traffic(snapshot, str("b"), &json, &err) == PXL_ERR_NOT_WATCHED);
  EXPECT(pxl_snapshot_traffic(snapshot, str("a"), NULL, &err) == PXL_ERR_NULL);

  pid_t child = fork();
  if (child == 0) _exit(pxl_client_watch(client, str("c"), &err) == PXL_ERR_FORKED ? 0 : 1);
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
  life();
#ifdef PXL_TESTING
  extern pxl_status pxl_testing_panic(pxl_error *);
  pxl_error err = {0};
  EXPECT(pxl_testing_panic(&err) == PXL_ERR_PANIC && strstr(err.message, "contained"));
#endif
  puts("ok");
  return 0;
}
