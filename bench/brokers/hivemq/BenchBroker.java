import com.hivemq.embedded.EmbeddedHiveMQ;
import java.nio.file.Path;

/** HiveMQ CE as it comes, which lets everybody in when it is embedded. Arguments: its folders of settings, of data and of extensions. */
public final class BenchBroker {
    public static void main(String[] folders) {
        EmbeddedHiveMQ broker = EmbeddedHiveMQ.builder()
            .withConfigurationFolder(Path.of(folders[0]))
            .withDataFolder(Path.of(folders[1]))
            .withExtensionsFolder(Path.of(folders[2]))
            .build();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> broker.stop().join()));
        broker.start().join();
    }
}
