// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.proxyless.agent.api.View;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
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
      readOrRefuse(java.util.Arrays.copyOf(bytes, length));
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
  @DisplayName("another major version is refused")
  void another_major_version_is_refused() throws IOException {
    byte[] bytes = golden();
    bytes[4] = 2;
    assertThrows(IllegalArgumentException.class, () -> new FlatReader(bytes));
  }
}
