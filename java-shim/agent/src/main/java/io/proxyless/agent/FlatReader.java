// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import io.proxyless.agent.api.View;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * Reads the flat format (described in core/src/wire.rs). Every length is checked; unknown sections
 * are skipped.
 */
final class FlatReader {
  private static final int MAGIC = 0x46_4c_58_50; // "PXLF", little-endian
  private static final int MAJOR = 1;
  private static final int TARGETS = 1;
  private static final int ENDPOINTS = 2;
  private static final int ORDER = 3;
  private static final int LOCALITIES = 4;
  private static final int EXTENSIONS = 5;
  private static final int SPELLINGS = 6;
  private static final int STRINGS = 7;
  private static final View.State[] STATES = {
    View.State.PENDING, View.State.UNKNOWN, View.State.READY, View.State.REMOVED, View.State.INVALID
  };

  final long epoch;

  /** The buffer holds changes, not the whole. */
  final boolean changesOnly;

  private final Map<Integer, ByteBuffer> sections = new HashMap<>();
  private final byte[] strings;

  FlatReader(byte[] bytes) {
    ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    try {
      check(buffer.getInt() == MAGIC, "not a flat buffer");
      int major = buffer.getShort();
      check(major == MAJOR, "major version " + major + ", this reader knows " + MAJOR);
      buffer.getShort();
      changesOnly = (buffer.getInt() & 1) != 0;
      int count = buffer.getInt();
      epoch = buffer.getLong();
      buffer.getLong();
      for (int i = 0; i < count; i++) {
        int kind = buffer.getInt();
        buffer.getInt();
        sections.put(kind, slice(buffer, buffer.getInt(), buffer.getInt()));
      }
    } catch (BufferUnderflowException tooShort) {
      throw new IllegalArgumentException("flat format: shorter than its tables", tooShort);
    }
    ByteBuffer text = section(STRINGS);
    strings = new byte[text.remaining()];
    text.get(strings);
  }

  /** Views by every spelling of their target. */
  Map<String, View> views() {
    ByteBuffer spellings = section(SPELLINGS);
    View[] targets = targets();
    Map<String, View> views = new HashMap<>();
    while (spellings.remaining() >= 12) {
      String spelling = text(spellings.getInt(), spellings.getInt());
      int index = spellings.getInt();
      check(index >= 0 && index < targets.length, "a spelling points outside");
      views.put(spelling, targets[index]);
    }
    return views;
  }

  private View[] targets() {
    ByteBuffer records = section(TARGETS);
    View[] targets = new View[records.remaining() / 64];
    for (int i = 0; i < targets.length; i++) {
      targets[i] = target(slice(records, i * 64, 64));
    }
    return targets;
  }

  private View target(ByteBuffer record) {
    String name = text(record.getInt(), record.getInt());
    String resolved = text(record.getInt(), record.getInt());
    String detail = text(record.getInt(), record.getInt());
    int state = record.get();
    check(state >= 0 && state < STATES.length, "state " + state + " is unknown");
    record.get();
    record.getShort();
    ByteBuffer endpoints = span(record, ENDPOINTS, 32);
    ByteBuffer order = span(record, ORDER, 4);
    ByteBuffer localities = span(record, LOCALITIES, 28);
    ByteBuffer extensions = span(record, EXTENSIONS, 16);
    View.Endpoint[] list = new View.Endpoint[endpoints.remaining() / 32];
    for (int i = 0; i < list.length; i++) {
      list[i] = endpoint(slice(endpoints, i * 32, 32), localities, extensions);
    }
    int[] indices = new int[order.remaining() / 4];
    for (int i = 0; i < indices.length; i++) {
      indices[i] = order.getInt();
      check(indices[i] >= 0 && indices[i] < list.length, "an order points outside");
    }
    return new View(name, STATES[state], resolved, detail, list, indices, epoch);
  }

  private View.Endpoint endpoint(ByteBuffer record, ByteBuffer localities, ByteBuffer extensions) {
    byte[] ip = new byte[16];
    record.get(ip);
    int port = record.getShort() & 0xffff;
    int family = record.get();
    record.position(22);
    int locality = record.getShort() & 0xffff;
    record.getInt();
    int extension = record.getInt();
    String zone = "";
    if (localities.remaining() > 0) {
      ByteBuffer place = slice(localities, locality * 28, 28);
      place.position(8);
      zone = text(place.getInt(), place.getInt()).toLowerCase(Locale.ROOT);
    }
    String host;
    if (family == 0) {
      ByteBuffer further = slice(extensions, (extension - 1) * 16, 16);
      host = text(further.getInt(), further.getInt());
    } else {
      host = address(family == 4 ? Arrays.copyOf(ip, 4) : ip);
    }
    return new View.Endpoint(host, port, zone);
  }

  /** As it stands in a URI: IPv6 in brackets. An IPv4 address inside of IPv6 is one of IPv4. */
  private static String address(byte[] ip) {
    try {
      InetAddress address = InetAddress.getByAddress(ip);
      String text = address.getHostAddress();
      return address instanceof Inet6Address ? "[" + text + "]" : text;
    } catch (UnknownHostException impossible) {
      throw new IllegalArgumentException(impossible);
    }
  }

  private ByteBuffer span(ByteBuffer record, int kind, int size) {
    int first = record.getInt();
    int count = record.getInt();
    check(
        first >= 0
            && count >= 0
            && count <= Integer.MAX_VALUE / size
            && first <= Integer.MAX_VALUE / size,
        "a span is negative");
    return slice(section(kind), first * size, count * size);
  }

  private ByteBuffer section(int kind) {
    ByteBuffer found = sections.get(kind);
    return found == null
        ? ByteBuffer.allocate(0)
        : found.duplicate().order(ByteOrder.LITTLE_ENDIAN);
  }

  private static ByteBuffer slice(ByteBuffer buffer, int offset, int length) {
    check(
        offset >= 0 && length >= 0 && offset <= buffer.limit() - length,
        "a reference points outside");
    ByteBuffer view = buffer.duplicate();
    view.limit(offset + length).position(offset);
    return view.slice().order(ByteOrder.LITTLE_ENDIAN);
  }

  private String text(int offset, int length) {
    check(offset >= 0 && length >= 0 && offset <= strings.length - length, "a text points outside");
    return new String(strings, offset, length, StandardCharsets.UTF_8);
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new IllegalArgumentException("flat format: " + what);
    }
  }
}
