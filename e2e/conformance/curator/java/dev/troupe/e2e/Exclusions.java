package dev.troupe.e2e;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtensionContext;

/** Leaves out what the file of exclusions names, a class or one of its methods, and reports the reason. */
public final class Exclusions implements ExecutionCondition {
    private final Map<String, String> reasons = new HashMap<>();

    public Exclusions() throws IOException {
        boolean alone = "1".equals(System.getProperty("troupe.members"));
        for (String line : Files.readAllLines(Path.of(System.getProperty("troupe.exclusions")))) {
            if (line.isBlank() || line.startsWith("#")) {
                continue;
            }
            String[] parts = line.split("\\|", 3);
            if (alone || parts[0].trim().equals("always")) {
                reasons.put(parts[1].trim(), parts[2].trim());
            }
        }
    }

    @Override
    public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
        String test = context.getTestClass().map(Class::getSimpleName).orElse("");
        String reason = reasons.get(test);
        if (reason == null && context.getTestMethod().isPresent()) {
            reason = reasons.get(test + "." + context.getTestMethod().get().getName());
        }
        return reason == null
                ? ConditionEvaluationResult.enabled(null)
                : ConditionEvaluationResult.disabled("EXCLUDED: " + reason);
    }
}
