/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches the targets on standard input, one a line up to an empty one, and prints each list, with the time at which it could be
 * read, as soon as it is there and whenever it changes:
 *
 *   follow <options-json>
 *   started
 *   open <nanoseconds since 1970>
 *   list <nanoseconds since 1970> <target> <state> <number of endpoints> <address>,<address>,...
 */
#include <arpa/inet.h>
#include <proxyless.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pxl_str str(const char *text) { return (pxl_str){text, strlen(text)}; }

static void check(pxl_status status, const pxl_error *err) {
  if (status < 0) {
    fprintf(stderr, "%s\n", err->message);
    exit(1);
  }
}

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void print_list(const char *name, const pxl_target *target, uint64_t at) {
  printf("list %llu %s %u %zu ", (unsigned long long)at, name, target->state, target->endpoint_count);
  for (size_t i = 0; i < target->endpoint_count; i++) {
    char text[INET6_ADDRSTRLEN] = "?";
    if (target->endpoints[i].family == 4) inet_ntop(AF_INET, target->endpoints[i].ip, text, sizeof text);
    printf("%s%s", i ? "," : "", text);
  }
  putchar('\n');
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s <options-json>\n", argv[0]);
    return 2;
  }
  puts("started");
  fflush(stdout);
  char **names = NULL, *line = NULL;
  size_t count = 0, room = 0;
  for (ssize_t length; (length = getline(&line, &room, stdin)) > 1; count++) {
    line[length - 1] = 0;
    names = realloc(names, (count + 1) * sizeof *names);
    if (!names || !(names[count] = strdup(line))) return 1;
  }
  pxl_error err;
  pxl_client *client = NULL;
  printf("open %llu\n", (unsigned long long)now());
  check(pxl_client_open(str(argv[1]), &client, &err), &err);
  for (size_t i = 0; i < count; i++) check(pxl_client_watch(client, str(names[i]), &err), &err);

  uint64_t seen = 0, epoch = 0;
  for (;;) {
    check(pxl_client_wait(client, seen, -1, &epoch, &err), &err);
    pxl_snapshot *snapshot = NULL;
    check(pxl_client_snapshot(client, &snapshot, &err), &err);
    for (size_t i = 0; i < count; i++) {
      pxl_target target;
      pxl_status status = pxl_snapshot_target(snapshot, str(names[i]), &target, &err);
      if (status == PXL_OK && target.changed_at > seen) print_list(names[i], &target, now());
    }
    fflush(stdout);
    seen = pxl_snapshot_epoch(snapshot);
    pxl_snapshot_free(snapshot);
  }
}
