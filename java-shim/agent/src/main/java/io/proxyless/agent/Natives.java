// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Locale;
import java.util.jar.JarFile;
import java.util.zip.ZipEntry;

/**
 * Finds and loads the native library: an explicit path, then beside the jar, then the copy inside
 * the jar.
 */
final class Natives {
  private static final String FILE = "libproxyless_jvm.so";
  private static final String REMEDY =
      "put "
          + FILE
          + " beside the agent's jar, or name it with -Dproxyless.native-path, or let"
          + " -Djava.io.tmpdir be a folder where files can be written and libraries loaded";

  private Natives() {}

  static void load(JarFile jar, File jarFile, String explicitPath) throws IOException {
    if (explicitPath != null) {
      load(new File(explicitPath), "look at -Dproxyless.native-path");
    } else {
      String platform = platform();
      File beside = new File(jarFile.getParentFile(), "native/" + platform + "/" + FILE);
      File flat = new File(jarFile.getParentFile(), FILE);
      if (beside.isFile()) {
        load(beside, REMEDY);
      } else if (flat.isFile()) {
        load(flat, REMEDY);
      } else {
        loadInner(jar, "native/" + platform + "/" + FILE, platform);
      }
    }
    int version = NativeBridge.abiVersion();
    if (version != NativeBridge.ABI_VERSION) {
      throw new IOException(
          "the native library has version "
              + version
              + ", this agent needs "
              + NativeBridge.ABI_VERSION);
    }
  }

  private static void loadInner(JarFile jar, String name, String platform) throws IOException {
    ZipEntry entry = jar.getEntry(name);
    if (entry == null) {
      throw new IOException("no native library for " + platform + " in this agent");
    }
    Path folder = privateFolder();
    Path copy = folder.resolve(FILE);
    try (InputStream in = jar.getInputStream(entry)) {
      Files.copy(in, copy);
      load(copy.toFile(), REMEDY);
    } finally {
      // The mapping stays; the file need not.
      Files.deleteIfExists(copy);
      Files.deleteIfExists(folder);
    }
  }

  /** Fresh, and only this user can enter: nobody can put another library into the way. */
  private static Path privateFolder() throws IOException {
    try {
      return Files.createTempDirectory(
          "proxyless",
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    } catch (IOException | UnsupportedOperationException failure) {
      throw new IOException(
          "nowhere to unpack it, java.io.tmpdir is "
              + System.getProperty("java.io.tmpdir")
              + " ("
              + failure
              + "): "
              + REMEDY,
          failure);
    }
  }

  private static void load(File library, String remedy) throws IOException {
    try {
      System.load(library.getAbsolutePath());
    } catch (UnsatisfiedLinkError failure) {
      throw new IOException(failure.getMessage() + ": " + remedy, failure);
    }
  }

  private static String platform() throws IOException {
    String os = System.getProperty("os.name", "").toLowerCase(Locale.ROOT);
    String arch = System.getProperty("os.arch", "");
    if (!os.contains("linux")) {
      throw new IOException("the platform " + os + " is not supported");
    }
    switch (arch) {
      case "amd64":
      case "x86_64":
        return "linux-x86_64";
      case "aarch64":
        return "linux-aarch64";
      default:
        throw new IOException("the architecture " + arch + " is not supported");
    }
  }
}
