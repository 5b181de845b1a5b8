/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints what the control plane says about the traffic to a target, as JSON, whenever it has changed, so many times:
 *
 *   traffic <options-json> <target> <times>
 */
#include <proxyless.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pxl_str str(const char *text) { return (pxl_str){text, strlen(text)}; }

static void check(pxl_status status, const pxl_error *err) {
  if (status < 0) {
    fprintf(stderr, "%s\n", err->message);
    exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  pxl_error err;
  pxl_client *client = NULL;
  check(pxl_client_open(str(argv[1]), &client, &err), &err);
  check(pxl_client_watch(client, str(argv[2]), &err), &err);
  uint64_t seen = 0, epoch = 0;
  for (long left = strtol(argv[3], NULL, 10); left > 0;) {
    check(pxl_client_wait(client, seen, -1, &epoch, &err), &err);
    pxl_snapshot *snapshot = NULL;
    check(pxl_client_snapshot(client, &snapshot, &err), &err);
    pxl_target target;
    pxl_status status = pxl_snapshot_target(snapshot, str(argv[2]), &target, &err);
    if (status == PXL_OK && target.state == PXL_STATE_READY && target.changed_at > seen) {
      pxl_buf json;
      check(pxl_snapshot_traffic(snapshot, str(argv[2]), &json, &err), &err);
      printf("%.*s\n", (int)json.len, json.ptr);
      fflush(stdout);
      pxl_buf_free(json);
      left--;
    }
    seen = pxl_snapshot_epoch(snapshot);
    pxl_snapshot_free(snapshot);
  }
  pxl_client_free(client);
  return 0;
}
