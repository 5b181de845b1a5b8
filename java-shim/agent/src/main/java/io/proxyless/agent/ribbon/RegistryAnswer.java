// SPDX-License-Identifier: Apache-2.0
package io.proxyless.agent.ribbon;

import io.proxyless.bootstrap.Hooks;
import net.bytebuddy.asm.AsmVisitorWrapper;
import net.bytebuddy.description.method.MethodDescription;
import net.bytebuddy.description.type.TypeDescription;
import net.bytebuddy.implementation.Implementation;
import net.bytebuddy.jar.asm.MethodVisitor;
import net.bytebuddy.jar.asm.Opcodes;
import net.bytebuddy.jar.asm.Type;
import net.bytebuddy.pool.TypePool;
import net.bytebuddy.utility.OpenedClassReader;

/**
 * Lets {@link Hooks} see what a registry answers, between it and the application's filter: a filter
 * that lets nobody through is no unknown service.
 */
final class RegistryAnswer implements AsmVisitorWrapper.ForDeclaredMethods.MethodVisitorWrapper {
  private static final String REGISTRY = "com/netflix/loadbalancer/ServerList";
  private static final String QUESTION = "getUpdatedListOfServers";

  @Override
  public MethodVisitor wrap(
      TypeDescription type,
      MethodDescription method,
      MethodVisitor visitor,
      Implementation.Context context,
      TypePool pool,
      int writerFlags,
      int readerFlags) {
    return new MethodVisitor(OpenedClassReader.ASM_API, visitor) {
      @Override
      public void visitMethodInsn(
          int opcode, String owner, String name, String descriptor, boolean isInterface) {
        super.visitMethodInsn(opcode, owner, name, descriptor, isInterface);
        if (owner.equals(REGISTRY) && name.equals(QUESTION)) {
          super.visitInsn(Opcodes.DUP);
          super.visitVarInsn(Opcodes.ALOAD, 0);
          super.visitInsn(Opcodes.SWAP);
          super.visitMethodInsn(
              Opcodes.INVOKESTATIC,
              Type.getInternalName(Hooks.class),
              "registryAnswered",
              "(Ljava/lang/Object;Ljava/util/List;)V",
              false);
        }
      }
    };
  }
}
