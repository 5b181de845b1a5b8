// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.jar.JarFile;
import java.util.zip.ZipEntry;

/**
 * Loads an adapter for one application class loader: the adapter sees the application's frameworks
 * and the agent's API, the application does not see the adapter.
 */
final class AdapterLoader extends ClassLoader {
  private final JarFile jar;
  private final String prefix;

  AdapterLoader(JarFile jar, String folder, ClassLoader application) {
    super(application);
    this.jar = jar;
    this.prefix = "inst/" + folder + "/";
  }

  @Override
  protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
    if (name.startsWith("io.proxyless.agent.api.")) {
      return Class.forName(name, false, AdapterLoader.class.getClassLoader());
    }
    if (!name.startsWith("io.proxyless.adapter.")) {
      return super.loadClass(name, resolve);
    }
    synchronized (getClassLoadingLock(name)) {
      Class<?> loaded = findLoadedClass(name);
      return loaded != null ? loaded : findClass(name);
    }
  }

  @Override
  protected Class<?> findClass(String name) throws ClassNotFoundException {
    ZipEntry entry = jar.getEntry(prefix + name.replace('.', '/') + ".classdata");
    if (entry == null) {
      throw new ClassNotFoundException(name);
    }
    try (InputStream in = jar.getInputStream(entry)) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[8192];
      for (int n = in.read(buffer); n > 0; n = in.read(buffer)) {
        out.write(buffer, 0, n);
      }
      return defineClass(name, out.toByteArray(), 0, out.size());
    } catch (IOException failure) {
      throw new ClassNotFoundException(name, failure);
    }
  }
}
