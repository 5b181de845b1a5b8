/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints everything that can be read of targets, one line each, whenever it has changed, and what else is asked for on standard
 * input:
 *
 *   fields <options-json>
 *   watch <target>, unwatch <target>, look <target>, stale, synced, epoch
 */
#include <arpa/inet.h>
#include <proxyless.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pxl_error err;
static pxl_client *client;

static pxl_str str(const char *text) { return (pxl_str){text, strlen(text)}; }

static void check(pxl_status status) {
  if (status < 0) {
    fprintf(stderr, "%s %s\n", pxl_status_name(status).ptr, err.message);
    exit(1);
  }
}

static void print_text(const char *name, pxl_str text) { printf(" %s=%.*s", name, (int)text.len, text.ptr); }

static void print_endpoint(const pxl_snapshot *snapshot, const char *name, const pxl_endpoint *endpoint) {
  char ip[INET6_ADDRSTRLEN] = "-";
  pxl_locality locality;
  if (endpoint->family != 0) inet_ntop(endpoint->family == 4 ? AF_INET : AF_INET6, endpoint->ip, ip, sizeof ip);
  printf(" | ip=%s port=%u family=%u health=%u priority=%u flags=%u weight=%u", ip, endpoint->port, endpoint->family,
         endpoint->health, endpoint->priority, endpoint->flags, endpoint->weight);
  check(pxl_snapshot_locality(snapshot, str(name), endpoint->locality, &locality, &err));
  print_text("region", locality.region);
  print_text("zone", locality.zone);
  print_text("sub_zone", locality.sub_zone);
  if (endpoint->extension != 0) {
    pxl_extension extension;
    check(pxl_snapshot_extension(snapshot, str(name), endpoint->extension, &extension, &err));
    print_text("hostname", extension.hostname);
    print_text("workload", extension.workload);
  }
}

/* Returns the target's age, or -1 when it is not watched. */
static int64_t print_target(const char *name) {
  pxl_snapshot *snapshot = NULL;
  pxl_target target;
  int64_t age = -1;
  check(pxl_client_snapshot(client, &snapshot, &err));
  pxl_status status = pxl_snapshot_target(snapshot, str(name), &target, &err);
  printf("%s %s", name, pxl_status_name(status).ptr);
  if (status == PXL_OK) {
    age = (int64_t)target.changed_at;
    printf(" state=%u reason=%u flags=%u", target.state, target.reason, target.flags);
    print_text("resolved", target.resolved);
    print_text("detail", target.detail);
    for (size_t i = 0; i < target.endpoint_count; i++) print_endpoint(snapshot, name, &target.endpoints[i]);
    printf(" | order=");
    for (size_t i = 0; i < target.order_count; i++) printf("%u", target.order[i]);
  }
  putchar('\n');
  pxl_snapshot_free(snapshot);
  return age;
}

/* Waits until a target has an answer, or is no longer watched. */
static void print_when_answered(const char *name) {
  for (;;) {
    pxl_snapshot *snapshot = NULL;
    pxl_target target = {0};
    uint64_t epoch;
    check(pxl_client_snapshot(client, &snapshot, &err));
    uint64_t seen = pxl_snapshot_epoch(snapshot);
    pxl_status status = pxl_snapshot_target(snapshot, str(name), &target, &err);
    pxl_snapshot_free(snapshot);
    if (status != PXL_OK || target.state != PXL_STATE_PENDING) break;
    check(pxl_client_wait(client, seen, -1, &epoch, &err));
  }
  print_target(name);
}

static void command(const char *verb, const char *name) {
  if (strcmp(verb, "watch") == 0) {
    check(pxl_client_watch(client, str(name), &err));
    print_target(name);
  } else if (strcmp(verb, "unwatch") == 0) {
    uint64_t epoch = pxl_client_epoch(client);
    check(pxl_client_unwatch(client, str(name), &err));
    check(pxl_client_wait(client, epoch, -1, &epoch, &err));
    print_target(name);
  } else if (strcmp(verb, "look") == 0) {
    print_when_answered(name);
  } else if (strcmp(verb, "stale") == 0) {
    printf("stale %lld\n", (long long)pxl_client_stale_ms(client));
  }
  fflush(stdout);
}

int main(int argc, char **argv) {
  char line[512], verb[16], name[256];
  if (argc != 2) return 2;
  check(pxl_client_open(str(argv[1]), &client, &err));
  while (fgets(line, sizeof line, stdin)) {
    name[0] = 0;
    if (sscanf(line, "%15s %255s", verb, name) >= 1) command(verb, name);
  }
  pxl_client_shutdown(client);
  pxl_client_free(client);
  return 0;
}
