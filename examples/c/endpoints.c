/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints the endpoints of a target and the one that a caller would take next, then follows changes.
 *
 *   endpoints <options-json> <target> [changes-to-follow]
 *   endpoints '{"server": "http://127.0.0.1:15010"}' go-sc-a
 *
 * Built with what `make install` has installed:
 *
 *   cc endpoints.c $(pkg-config --cflags --libs proxyless)                   the shared library
 *   cc -static endpoints.c $(pkg-config --static --cflags --libs proxyless)  everything in one file
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <proxyless.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pxl_str str(const char *text) { return (pxl_str){text, strlen(text)}; }

static void check(pxl_status status, const pxl_error *err) {
  if (status < 0) {
    fprintf(stderr, "%s: %s\n", pxl_status_name(status).ptr, err->message);
    exit(1);
  }
}

/* Where to connect to: the address, or the host name of an endpoint that has none, which is still to be resolved. */
static void print_place(const pxl_snapshot *snapshot, const char *name, const pxl_endpoint *endpoint) {
  if (endpoint->family == 0) {
    pxl_error err;
    pxl_extension extension;
    check(pxl_snapshot_extension(snapshot, str(name), endpoint->extension, &extension, &err), &err);
    printf("%.*s:%u", (int)extension.hostname.len, extension.hostname.ptr, endpoint->port);
    return;
  }
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(endpoint->family == 4 ? AF_INET : AF_INET6, endpoint->ip, text, sizeof text);
  printf(endpoint->family == 4 ? "%s:%u" : "[%s]:%u", text, endpoint->port);
}

/* By weight. The counter starts anywhere: processes that all start at 0 would all call the same endpoint first. */
static const pxl_endpoint *pick(const pxl_target *target) {
  static uint64_t turn;
  if (turn == 0) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    turn = (uint64_t)now.tv_nsec * 2654435761u ^ (uint64_t)getpid();
  }
  uint64_t n = turn++;
  return &target->endpoints[target->order_count ? target->order[n % target->order_count] : n % target->endpoint_count];
}

static void print_target(const pxl_snapshot *snapshot, const char *name, const pxl_target *target) {
  static const char *const states[] = {"pending", "unknown", "ready", "removed", "invalid"};
  printf("%s %s %.*s\n", name, states[target->state], (int)target->detail.len, target->detail.ptr);
  for (size_t i = 0; i < target->endpoint_count; i++) {
    const pxl_endpoint *endpoint = &target->endpoints[i];
    printf("  ");
    print_place(snapshot, name, endpoint);
    printf(" weight %u\n", endpoint->weight);
  }
  if (target->endpoint_count > 0) {
    printf("  next: ");
    print_place(snapshot, name, pick(target));
    putchar('\n');
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
  while (changes != 0 && (status = pxl_client_wait(client, seen, -1, &epoch, &err)) == PXL_OK) {
    pxl_snapshot *snapshot = NULL;
    pxl_target target;
    check(pxl_client_snapshot(client, &snapshot, &err), &err);
    check(pxl_snapshot_target(snapshot, str(argv[2]), &target, &err), &err);
    if (target.changed_at > seen && target.state != PXL_STATE_PENDING) {
      print_target(snapshot, argv[2], &target);
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
