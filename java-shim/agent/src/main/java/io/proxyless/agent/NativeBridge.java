// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

/**
 * The natives of {@code libproxyless_jvm}. Only int, long and byte[] cross; handles are numbers,
 * never pointers.
 */
final class NativeBridge {
  static final int ABI_VERSION = 1;

  private NativeBridge() {}

  static native int abiVersion();

  static native long open(byte[] optionsJson);

  static native void watch(long handle, byte[] target);

  /** Blocks until the epoch is above {@code since}; the epoch, or -1 once closed. */
  static native long awaitChange(long handle, long since, long timeoutMillis);

  /** In the flat format; null when nothing is newer than {@code since}. */
  static native byte[] snapshot(long handle, long since);

  static native byte[] describe(long handle);

  static native void close(long handle);
}
