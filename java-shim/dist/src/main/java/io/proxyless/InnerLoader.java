// SPDX-License-Identifier: Apache-2.0
package io.proxyless;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.MalformedURLException;
import java.net.URL;
import java.security.ProtectionDomain;
import java.util.jar.JarFile;
import java.util.zip.ZipEntry;

/** Loads classes from a folder inside the agent jar, where they lie as {@code .classdata}. */
final class InnerLoader extends ClassLoader {
  static {
    registerAsParallelCapable();
  }

  private final JarFile jar;
  private final URL place;
  private final String prefix;

  /** What is granted to the jar is granted to the classes inside. */
  private final ProtectionDomain domain = InnerLoader.class.getProtectionDomain();

  InnerLoader(JarFile jar, URL place, String prefix, ClassLoader parent) {
    super(parent);
    this.jar = jar;
    this.place = place;
    this.prefix = prefix;
  }

  @Override
  protected Class<?> findClass(String name) throws ClassNotFoundException {
    ZipEntry entry = jar.getEntry(prefix + name.replace('.', '/') + ".classdata");
    if (entry == null) {
      throw new ClassNotFoundException(name);
    }
    try (InputStream in = jar.getInputStream(entry)) {
      ByteArrayOutputStream out = new ByteArrayOutputStream((int) Math.max(entry.getSize(), 1024));
      byte[] buffer = new byte[8192];
      for (int n = in.read(buffer); n > 0; n = in.read(buffer)) {
        out.write(buffer, 0, n);
      }
      byte[] bytes = out.toByteArray();
      return defineClass(name, bytes, 0, bytes.length, domain);
    } catch (IOException failure) {
      throw new ClassNotFoundException(name, failure);
    }
  }

  @Override
  protected URL findResource(String name) {
    String inside = name.endsWith(".class") ? name + "data" : name;
    if (jar.getEntry(prefix + inside) == null) {
      return null;
    }
    try {
      return new URL("jar:" + place + "!/" + prefix + inside);
    } catch (MalformedURLException impossible) {
      return null;
    }
  }
}
