package dev.troupe.e2e;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;

/** A member as a process, from the properties of a zoo.cfg. The JVM's end is its end. */
public final class Member {
    /** Properties that Apache's server reads from the JVM and not from its file. */
    private static final String[] FLAGS = {
        "zookeeper.extendedTypesEnabled",
        "zookeeper.DigestAuthenticationProvider.superDigest",
        "znode.container.checkIntervalMs",
        "znode.container.maxPerMinute",
        "znode.container.maxNeverUsedIntervalMs",
        "readonlymode.enabled",
    };

    private final Process process;
    private final int clientPort;
    private final Thread atExit;

    private Member(Process process, int clientPort) {
        this.process = process;
        this.clientPort = clientPort;
        this.atExit = new Thread(process::destroyForcibly);
        Runtime.getRuntime().addShutdownHook(atExit);
    }

    /** Starts one and, where it is alone, waits until it serves; a member of an ensemble serves when it has a leader. */
    public static Member start(Properties given) throws IOException, InterruptedException {
        Map<String, String> properties = new TreeMap<>();
        for (String name : given.stringPropertyNames()) {
            properties.put(name, given.getProperty(name));
        }
        given.forEach((name, value) -> properties.putIfAbsent(name.toString(), value.toString()));
        boolean alone = properties.keySet().stream().noneMatch(name -> name.startsWith("server."));
        if (!alone && "1".equals(System.getProperty("troupe.members"))) {
            throw new IOException("a member of an ensemble is wanted, in a run without ensembles");
        }
        int port = Integer.parseInt(properties.get("clientPort"));
        if (port == 0) {
            port = freePort();
            properties.put("clientPort", Integer.toString(port));
        }
        Path folder = Path.of(properties.get("dataDir"));
        Files.createDirectories(folder);
        List<String> lines = new ArrayList<>();
        properties.forEach((name, value) -> lines.add(name + "=" + value));
        Path config = folder.resolve("zoo.cfg");
        Files.write(config, lines, StandardCharsets.UTF_8);

        ProcessBuilder builder =
                new ProcessBuilder(System.getenv("TROUPE_BIN"), "member", "--config", config.toString());
        StringBuilder flags = new StringBuilder();
        for (String flag : FLAGS) {
            String value = System.getProperty(flag);
            if (value != null) {
                flags.append(" '-D").append(flag).append('=').append(value).append('\'');
            }
        }
        builder.environment().put("JVMFLAGS", flags.toString());
        builder.redirectErrorStream(true);
        builder.redirectOutput(ProcessBuilder.Redirect.appendTo(new File(System.getenv("TROUPE_MEMBERS_LOG"))));
        Member member = new Member(builder.start(), port);
        while (alone && !member.listens()) {
            if (!member.process.isAlive()) {
                throw new IOException("the member ended with " + member.process.exitValue() + "; " + lines);
            }
            Thread.sleep(5);
        }
        return member;
    }

    public int clientPort() {
        return clientPort;
    }

    /** As a crash. */
    public void kill() {
        process.destroyForcibly();
        await();
    }

    /** Orderly. */
    public void stop() {
        process.destroy();
        await();
    }

    private void await() {
        try {
            if (!process.waitFor(60, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
            }
            Runtime.getRuntime().removeShutdownHook(atExit);
        } catch (InterruptedException interrupted) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        } catch (IllegalStateException already) {
            // The JVM ends, and the hook with it.
        }
    }

    private boolean listens() {
        // From another address: while nobody listens, one that connects from the port itself meets itself.
        try (Socket socket = new Socket()) {
            socket.bind(new InetSocketAddress("127.0.0.2", 0));
            socket.connect(new InetSocketAddress("127.0.0.1", clientPort), 1000);
            return true;
        } catch (IOException refused) {
            return false;
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }
}
