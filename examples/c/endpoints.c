/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints the endpoints of a target, then follows changes.
 *
 *   endpoints <options-json> <target> [changes-to-follow]
 *   endpoints '{"server": "http://127.0.0.1:15010"}' go-sc-a
 */
#include <arpa/inet.h>
#include <proxyless.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pxl_str str(const char *text) { return (pxl_str){text, strlen(text)}; }

static void check(pxl_status status, const pxl_error *err) {
  if (status < 0) {
    fprintf(stderr, "%.*s: %s\n", (int)pxl_status_name(status).len, pxl_status_name(status).ptr, err->message);
    exit(1);
  }
}

static void print_target(const pxl_snapshot *snapshot, const char *name) {
  static const char *const states[] = {"pending", "unknown", "ready", "removed", "invalid"};
  pxl_error err;
  pxl_target target;
  check(pxl_snapshot_target(snapshot, str(name), &target, &err), &err);
  printf("%s %s %.*s\n", name, states[target.state], (int)target.detail.len, target.detail.len ? target.detail.ptr : "");
  for (size_t i = 0; i < target.endpoint_count; i++) {
    const pxl_endpoint *endpoint = &target.endpoints[i];
    char text[INET6_ADDRSTRLEN] = "?";
    if (endpoint->family != 0) inet_ntop(endpoint->family == 4 ? AF_INET : AF_INET6, endpoint->ip, text, sizeof text);
    printf("  %s:%u weight %u\n", text, endpoint->port, endpoint->weight);
  }
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s <options-json> <target> [changes-to-follow]\n", argv[0]);
    return 2;
  }
  long changes = argc > 3 ? strtol(argv[3], NULL, 10) : -1;
  pxl_error err;
  pxl_client *client = NULL;
  check(pxl_client_open(str(argv[1]), &client, &err), &err);
  check(pxl_client_watch(client, str(argv[2]), &err), &err);

  uint64_t seen = 0, epoch = 0;
  pxl_status status = PXL_OK;
  while (changes != 0 && (status = pxl_client_wait(client, seen, 10000, &epoch, &err)) >= 0 && status != PXL_SHUTDOWN) {
    if (status == PXL_TIMEOUT) continue;
    pxl_snapshot *snapshot = NULL;
    check(pxl_client_snapshot(client, &snapshot, &err), &err);
    pxl_target target;
    if (pxl_snapshot_target(snapshot, str(argv[2]), &target, &err) == PXL_OK && target.changed_at > seen && target.state != PXL_STATE_PENDING) {
      print_target(snapshot, argv[2]);
      if (changes > 0) changes--;
    }
    seen = pxl_snapshot_epoch(snapshot);
    pxl_snapshot_free(snapshot);
  }
  check(status, &err);
  pxl_client_shutdown(client);
  pxl_client_free(client);
  return 0;
}
