// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.proxyless.agent.api.View;
import java.io.IOException;
import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class FlatReaderTest {
  /** Written by the core's tests. */
  private static final Path GOLDEN = Paths.get("../../tests/golden/flat-v1.bin");

  private static byte[] golden() throws IOException {
    return Files.readAllBytes(GOLDEN);
  }

  @Test
  @DisplayName("what the core encodes reads the same here")
  void golden_file_reads() throws IOException {
    FlatReader flat = new FlatReader(golden());
    assertEquals(1, flat.epoch);
    assertFalse(flat.changesOnly);
    Map<String, View> views = flat.views();
    assertEquals(3, views.size());
    View ready = views.get("go-sc-a");
    assertEquals(View.State.READY, ready.state);
    assertEquals("go-sc-a.demo.svc.cluster.local:8080", ready.resolved);
    assertEquals("10.0.0.1", ready.endpoints[0].host);
    assertEquals(8080, ready.endpoints[0].port);
    assertEquals("zone-a", ready.endpoints[0].zone);
    assertEquals("[2001:db8:0:0:0:0:0:2]", ready.endpoints[1].host, "in brackets, as in a URI");
    assertEquals("zone-b", ready.endpoints[1].zone);
    assertArrayEquals(new int[] {0, 0, 1, 0}, ready.order);
    assertEquals(ready, views.get("GO-SC-A"), "another spelling of the same target");
    View invalid = views.get("go-sc-a/v9");
    assertEquals(View.State.INVALID, invalid.state);
    assertEquals("no subset «v9»", invalid.detail);
    assertEquals(0, invalid.endpoints.length);
  }

  @Test
  @DisplayName("a damaged buffer is refused and never read outside")
  void damaged_buffers_are_refused() throws IOException {
    byte[] bytes = golden();
    for (int length = 0; length < bytes.length; length++) {
      readOrRefuse(Arrays.copyOf(bytes, length));
    }
    for (int position = 0; position < bytes.length; position++) {
      for (int value : new int[] {0, 0x7f, 0xff}) {
        byte[] damaged = bytes.clone();
        damaged[position] = (byte) value;
        readOrRefuse(damaged);
      }
    }
  }

  private static void readOrRefuse(byte[] bytes) {
    try {
      new FlatReader(bytes).views();
    } catch (IllegalArgumentException refused) {
      assertTrue(refused.getMessage() != null);
    }
  }

  @Test
  @DisplayName("an IPv4 address inside of IPv6 is written as IPv4, without brackets")
  void a_mapped_address_reads_as_ipv4() throws IOException {
    byte[] bytes = golden();
    byte[] plain = InetAddress.getByName("2001:db8::2").getAddress();
    byte[] mapped = new byte[16];
    mapped[10] = mapped[11] = (byte) 0xff;
    mapped[12] = 10;
    mapped[15] = 9;
    for (int at = 0; at + 16 <= bytes.length; at++) {
      if (Arrays.equals(Arrays.copyOfRange(bytes, at, at + 16), plain)) {
        System.arraycopy(mapped, 0, bytes, at, 16);
      }
    }
    assertEquals("10.0.0.9", new FlatReader(bytes).views().get("go-sc-a").endpoints[1].host);
  }

  @Test
  @DisplayName("another major version is refused")
  void another_major_version_is_refused() throws IOException {
    byte[] bytes = golden();
    bytes[4] = 2;
    assertThrows(IllegalArgumentException.class, () -> new FlatReader(bytes));
  }

  /** Where a section of the golden file begins. */
  private static int section(byte[] bytes, int kind) {
    ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    for (int entry = 32; ; entry += 16) {
      if (buffer.getInt(entry) == kind) {
        return buffer.getInt(entry + 8);
      }
    }
  }

  @Test
  @DisplayName("each state has its number, and a number without a state is refused")
  void states_have_numbers() throws IOException {
    byte[] bytes = golden();
    int state = section(bytes, 1) + 24;
    View.State[] states = {
      View.State.PENDING,
      View.State.UNKNOWN,
      View.State.READY,
      View.State.REMOVED,
      View.State.INVALID
    };
    for (int number = 0; number < states.length; number++) {
      bytes[state] = (byte) number;
      assertEquals(states[number], new FlatReader(bytes).views().get("go-sc-a").state);
    }
    for (int number : new int[] {states.length, 127, -1}) {
      bytes[state] = (byte) number;
      FlatReader flat = new FlatReader(bytes);
      assertThrows(IllegalArgumentException.class, flat::views, "state " + number);
    }
  }

  @Test
  @DisplayName("ports above 32767 are no negative numbers")
  void ports_are_unsigned() throws IOException {
    byte[] bytes = golden();
    int port = section(bytes, 2) + 16;
    bytes[port] = (byte) 0xfe;
    bytes[port + 1] = (byte) 0xff;
    assertEquals(0xfffe, new FlatReader(bytes).views().get("go-sc-a").endpoints[0].port);
  }

  @Test
  @DisplayName("an endpoint that is a host name is the name, not an address of zeroes")
  void a_host_name_is_no_address() throws IOException {
    byte[] bytes = golden();
    // The second endpoint has an extension with a name; only its family says whether that counts.
    bytes[section(bytes, 2) + 32 + 18] = 0;
    assertEquals("two.example", new FlatReader(bytes).views().get("go-sc-a").endpoints[1].host);
  }

  @Test
  @DisplayName("zones are compared by Ribbon as texts, so they come in lower case")
  void zones_are_lower_case() throws IOException {
    byte[] bytes = golden();
    byte[] name = "zone-a".getBytes(StandardCharsets.UTF_8);
    for (int i = section(bytes, 7); i <= bytes.length - name.length; i++) {
      if (Arrays.equals(name, Arrays.copyOfRange(bytes, i, i + name.length))) {
        bytes[i] = 'Z';
      }
    }
    assertEquals("zone-a", new FlatReader(bytes).views().get("go-sc-a").endpoints[0].zone);
  }

  @Test
  @DisplayName("a view has the epoch of its buffer as its version")
  void versions_are_epochs() throws IOException {
    byte[] bytes = golden();
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(16, 77);
    FlatReader flat = new FlatReader(bytes);
    assertEquals(77, flat.epoch);
    assertEquals(77, flat.views().get("go-sc-a").version);
  }

  @Test
  @DisplayName("a weighted order that points outside of the endpoints is refused")
  void an_order_stays_inside() throws IOException {
    byte[] bytes = golden();
    for (int index : new int[] {2, -1}) {
      ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(section(bytes, 3), index);
      FlatReader flat = new FlatReader(bytes);
      assertThrows(IllegalArgumentException.class, flat::views, "index " + index);
    }
  }

  @Test
  @DisplayName("what is no flat buffer is refused, and changes are told from the whole")
  void magic_and_flags() throws IOException {
    byte[] bytes = golden();
    bytes[8] = 1;
    assertTrue(new FlatReader(bytes).changesOnly);
    bytes[0] = 'p';
    assertThrows(IllegalArgumentException.class, () -> new FlatReader(bytes));
  }
}
