package org.apache.curator.test;

import dev.troupe.e2e.Member;
import java.io.IOException;
import java.util.Properties;

/**
 * The class of this name with which Curator's test servers start Apache's server inside the JVM; first on the class
 * path, this one starts a member as a process.
 */
public class ZooKeeperServerEmbeddedAdapter implements ZooKeeperMainFace {
    private Member member;

    @Override
    public void start(QuorumPeerConfigBuilder builder) {
        try {
            Properties properties = builder.buildProperties();
            properties.setProperty("4lw.commands.whitelist", "*");
            properties.setProperty("admin.enableServer", "false");
            member = Member.start(properties);
        } catch (Exception failed) {
            throw new FailedServerStartException(failed);
        }
    }

    @Override
    public int getClientPort() {
        return member.clientPort();
    }

    @Override
    public void kill() {
        if (member != null) {
            member.kill();
        }
    }

    @Override
    public void close() throws IOException {
        if (member != null) {
            member.stop();
        }
    }
}
