// JDBC, as services use it: calls with the types of Java, and traffic of several sessions.
// The suite reads the printed lines.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import org.postgresql.util.PGobject;

public class ClientJdbc {
    static final boolean IS_DIRECT = "direct".equals(System.getenv("ROUTE"));
    static final String IS_ON = "SELECT is_feature_enabled_for_user(?)";

    interface Work<T> {
        T run() throws SQLException;
    }

    static void tell(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object word : words) {
            line.append(line.length() == 0 ? "" : "\t").append(word);
        }
        System.out.println(line);
    }

    static Connection connect(String user) throws SQLException {
        Properties settings = new Properties();
        settings.setProperty("user", user);
        // Direct, every statement is prepared on the server from its first execution on. Behind a
        // pooler of transactions none may be.
        settings.setProperty("prepareThreshold", IS_DIRECT ? "1" : "0");
        settings.setProperty("connectTimeout", "5");
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":"
            + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), settings);
    }

    static PGobject json(String text) throws SQLException {
        PGobject json = new PGobject();
        json.setType("jsonb");
        json.setValue(text);
        return json;
    }

    static boolean isLost(SQLException error) {
        String state = error.getSQLState();
        return state == null || state.startsWith("08") || state.startsWith("57");
    }

    /** A connection that is made again after it was lost. It keeps its prepared statements. */
    static class Session {
        Connection connection;
        int losses;

        Session() throws SQLException {
            connection = connect("oncall");
        }

        PreparedStatement prepared(String sql, Object... values) throws SQLException {
            PreparedStatement statement = connection.prepareStatement(sql);
            for (int n = 0; n < values.length; n++) {
                statement.setObject(n + 1, values[n]);
            }
            return statement;
        }

        void run(String sql, Object... values) throws SQLException {
            try (PreparedStatement statement = prepared(sql, values)) {
                statement.execute();
            }
        }

        boolean answer(String sql, Object... values) throws SQLException {
            try (PreparedStatement statement = prepared(sql, values);
                    ResultSet rows = statement.executeQuery()) {
                rows.next();
                return rows.getBoolean(1);
            }
        }

        /** Works; after a loss, connects and completes until no connection is lost. */
        <T> T lasting(Work<T> work, Work<T> complete) throws Exception {
            try {
                return work.run();
            } catch (SQLException error) {
                if (!isLost(error)) throw error;
            }
            while (true) {
                losses++;
                try {
                    connection.close();
                    connection = connect("oncall");
                    return complete.run();
                } catch (SQLException error) {
                    if (!isLost(error)) throw error;
                    Thread.sleep(10);
                }
            }
        }
    }

    static String letter(boolean value) {
        return value ? "t" : "f";
    }

    static List<String> flip(Session session, String flag, long until) throws Exception {
        boolean value = true;
        List<String> flips = new ArrayList<>();
        for (int round = 0; System.nanoTime() < until; round++) {
            int way = round % 4;
            boolean wanted = !value;
            long[] sent = {System.nanoTime()};
            Work<Boolean> change = () -> {
                if (way == 0) {
                    session.run("SELECT update_feature_flag(?, ?)", flag, wanted);
                } else if (way == 1) {
                    session.run("UPDATE feature_flags SET is_enabled = ? WHERE flag_key = ?",
                        wanted, flag);
                } else {
                    session.connection.setAutoCommit(false);
                    session.run("SELECT update_feature_flag(?, ?)", flag, wanted);
                    if (session.answer(IS_ON, flag) != wanted) {
                        throw new SQLException("a transaction sees its own flip", "XX000");
                    }
                    sent[0] = System.nanoTime();
                    if (way == 2) session.connection.commit();
                    else session.connection.rollback();
                    session.connection.setAutoCommit(true);
                }
                return way != 3;
            };
            Work<Boolean> find = () -> session.answer(
                "SELECT is_enabled FROM feature_flags WHERE flag_key = ?", flag) == wanted;
            if (session.lasting(change, find)) {
                flips.add("flip\t" + sent[0] + "\t" + System.nanoTime() + "\t" + letter(wanted));
                value = wanted;
            }
            Thread.sleep(ThreadLocalRandom.current().nextInt(4));
        }
        return flips;
    }

    static List<String> read(Session session, String[] flags, long until, boolean inTransaction)
            throws Exception {
        List<String> reads = new ArrayList<>();
        Work<Boolean> several = () -> {
            if (inTransaction) {
                session.connection.setAutoCommit(false);
                // setTransactionIsolation would change the session, which a pooler shares.
                session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
            }
            for (int n = 0; n < 10; n++) {
                String flag = flags[ThreadLocalRandom.current().nextInt(flags.length)];
                long began = System.nanoTime();
                boolean value = session.answer(IS_ON, flag);
                reads.add("read\t" + flag + "\t" + began + "\t" + System.nanoTime() + "\t"
                    + letter(value));
            }
            if (inTransaction) session.connection.commit();
            return true;
        };
        while (System.nanoTime() < until) session.lasting(several, () -> true);
        return reads;
    }

    static List<String> record(Session session, String name, long until) throws Exception {
        UUID user = UUID.randomUUID();
        BigDecimal duration = new BigDecimal("12.5");
        List<String> events = new ArrayList<>();
        for (int round = 0; System.nanoTime() < until; round++) {
            int number = round;
            String call = name + "-" + number;
            PGobject payload = json("{\"call\": \"" + call + "\", \"status_code\": 200}");
            Work<Boolean> write = () -> {
                if (number % 3 == 0) {
                    session.run("SELECT log_system_event(?, ?, ?, ?, ?)", "edge_function_call",
                        user, payload, duration, name);
                } else if (number % 3 == 1) {
                    session.run(
                        "SELECT crewsnow_ops.record_edge_call(?, ?, 200, p_payload => ?)", name,
                        duration, payload);
                } else {
                    session.connection.setAutoCommit(false);
                    session.run("INSERT INTO event_log (event_type, function_name,"
                        + " execution_time_ms, payload) VALUES ('edge_function_call', ?, ?, ?)",
                        name, duration, payload);
                    session.connection.commit();
                    session.connection.setAutoCommit(true);
                }
                return true;
            };
            session.lasting(write, () -> session.answer("SELECT EXISTS (SELECT FROM event_log"
                + " WHERE payload ->> 'call' = ?)", call) || write.run());
            events.add("event\t" + call);
            Thread.sleep(2);
        }
        return events;
    }

    static List<String> handleWebhooks(Session session, String name, long until)
            throws Exception {
        List<String> handled = new ArrayList<>();
        for (int round = 0; System.nanoTime() < until; round++) {
            int number = round;
            String event = "evt-" + name + "-" + number;
            String status = number % 10 == 0 ? "failed" : "processed";
            Work<Boolean> handle = () -> {
                if (number % 2 == 0) {
                    session.run("SELECT crewsnow_ops.record_stripe_webhook(?, 'invoice.paid',"
                        + " NULL)", event);
                    session.run("SELECT crewsnow_ops.record_stripe_webhook(?, 'invoice.paid', ?)",
                        event, status.equals("processed"));
                } else {
                    session.run("INSERT INTO processed_events (event_id, event_type, status,"
                        + " received_at) VALUES (?, 'invoice.paid', 'received', ?)"
                        + " ON CONFLICT (event_id) DO UPDATE"
                        + " SET attempts = processed_events.attempts + 1", event,
                        new Timestamp(System.currentTimeMillis()));
                    session.run("UPDATE processed_events SET status = ?,"
                        + " processed_at = clock_timestamp() WHERE event_id = ?", status, event);
                }
                return true;
            };
            session.lasting(handle, handle);
            handled.add("webhook\t" + event + "\t" + status);
            Thread.sleep(4);
        }
        return handled;
    }

    static void traffic(String flag, double seconds) throws Exception {
        String[] flags = System.getenv("FLAGS").split(",");
        Session[] sessions = new Session[5];
        for (int n = 0; n < sessions.length; n++) sessions[n] = new Session();
        System.out.println("ready");
        System.in.read();
        long until = System.nanoTime() + (long) (seconds * 1e9);
        ExecutorService threads = Executors.newFixedThreadPool(sessions.length);
        List<Callable<List<String>>> roles = List.of(
            () -> flip(sessions[0], flag, until),
            () -> read(sessions[1], flags, until, false),
            () -> read(sessions[2], flags, until, true),
            () -> record(sessions[3], flag, until),
            () -> handleWebhooks(sessions[4], flag, until));
        for (Future<List<String>> lines : threads.invokeAll(roles)) {
            lines.get().forEach(System.out::println);
        }
        threads.shutdown();
        for (Session session : sessions) {
            session.connection.close();
            if (session.losses > 0) tell("lost", session.losses);
        }
    }

    /** Sets the parameters of a statement. */
    interface Parameters {
        void set(PreparedStatement statement) throws SQLException;
    }

    static String outcome(Connection connection, String sql, Parameters parameters) {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            parameters.set(statement);
            statement.execute();
            return "ok";
        } catch (SQLException error) {
            return error.getSQLState() + " " + error.getMessage().split("\n")[0];
        }
    }

    static void call(Connection service, String label, Object expected, String sql,
            Parameters others) {
        tell("call", label, expected, outcome(service, sql, statement -> {
            statement.setString(1, label);
            others.set(statement);
        }));
    }

    static void events(Connection service) {
        String log = "SELECT log_system_event(?, ?, ?, ?, ?)";
        String record = "SELECT crewsnow_ops.record_edge_call(?, ?, ?)";
        Object[][] durations = {
            {"null", null, ""}, {"int", 12, 12}, {"long", 12L, 12}, {"double", 12.5, 12.5},
            {"float", 12.5f, 12.5}, {"BigDecimal", new BigDecimal("12.5"), 12.5},
        };
        for (Object[] each : durations) {
            call(service, "log " + each[0], each[2], log, s -> {
                s.setObject(2, UUID.randomUUID());
                s.setObject(3, json("{\"n\": 1}"));
                s.setObject(4, each[1]);
                s.setString(5, "f");
            });
            call(service, "record " + each[0], each[2], record, s -> {
                s.setObject(2, each[1]);
                s.setInt(3, 200);
            });
        }
        int[] kinds = {Types.NUMERIC, Types.DOUBLE, Types.BIGINT, Types.INTEGER, Types.NULL};
        for (int kind : kinds) {
            call(service, "null " + kind, "", log, s -> {
                s.setObject(2, null);
                s.setNull(3, Types.OTHER);
                s.setNull(4, kind);
                s.setNull(5, Types.VARCHAR);
            });
        }
        call(service, "status long", 12.5, record, s -> {
            s.setDouble(2, 12.5);
            s.setLong(3, 503L);
        });
        call(service, "status short", 12.5, record, s -> {
            s.setDouble(2, 12.5);
            s.setShort(3, (short) 503);
        });
        call(service, "log type", "", "SELECT log_system_event(?)", s -> {});
        call(service, "cast", 12.5, "SELECT log_system_event(?, ?::uuid, ?::jsonb, ?)", s -> {
            s.setString(2, UUID.randomUUID().toString());
            s.setString(3, "{\"n\": 1}");
            s.setDouble(4, 12.5);
        });
        String insert = "INSERT INTO event_log (event_type, payload, execution_time_ms,"
            + " created_at) VALUES (?, ?, ?, ?)";
        Parameters row = s -> {
            s.setObject(2, json("{\"n\": 1}"));
            s.setDouble(3, 12.5);
            s.setTimestamp(4, new Timestamp(System.currentTimeMillis()));
        };
        call(service, "insert", 12.5, insert, row);
        call(service, "insert returning", 12.5, insert + " RETURNING id", row);
        String batch = "ok";
        try (PreparedStatement statement = service.prepareStatement(record)) {
            for (String label : List.of("batch 1", "batch 2")) {
                statement.setString(1, label);
                statement.setDouble(2, 12.5);
                statement.setInt(3, 200);
                statement.addBatch();
            }
            statement.executeBatch();
        } catch (SQLException error) {
            batch = error.getSQLState() + " " + error.getMessage().split("\n")[0];
        }
        tell("call", "batch 1", 12.5, batch);
        tell("call", "batch 2", 12.5, batch);
    }

    static void webhook(Connection service, String event, String status, String sql,
            Parameters others) {
        tell("webhook", event, status, outcome(service, sql, statement -> {
            statement.setString(1, event);
            others.set(statement);
        }));
    }

    static void webhooks(Connection service) {
        String record = "SELECT crewsnow_ops.record_stripe_webhook(?, 'invoice.paid', ?, ?)";
        webhook(service, "null", "received", record, s -> {
            s.setNull(2, Types.BOOLEAN);
            s.setNull(3, Types.VARCHAR);
        });
        webhook(service, "true", "processed", record, s -> {
            s.setBoolean(2, true);
            s.setString(3, null);
        });
        webhook(service, "false", "failed", record, s -> {
            s.setBoolean(2, false);
            s.setString(3, "timeout");
        });
        String upsert = "INSERT INTO processed_events (event_id, event_type, status, received_at)"
            + " VALUES (?, 'invoice.paid', ?, ?) ON CONFLICT (event_id) DO UPDATE"
            + " SET status = excluded.status, attempts = processed_events.attempts + 1";
        for (String status : List.of("received", "failed")) {
            webhook(service, "upsert", "failed", upsert, s -> {
                s.setString(2, status);
                s.setTimestamp(3, new Timestamp(System.currentTimeMillis()));
            });
        }
    }

    static void change(Connection operator, String flag, UUID user, String label,
            boolean expected, String sql, Parameters parameters) throws SQLException {
        String outcome = outcome(operator, sql, parameters);
        try (PreparedStatement statement = operator.prepareStatement(
                "SELECT is_feature_enabled_for_user(?, ?)")) {
            statement.setString(1, flag);
            statement.setObject(2, user);
            ResultSet rows = statement.executeQuery();
            rows.next();
            if (rows.getBoolean(1) != expected && outcome.equals("ok")) outcome = "wrong answer";
        }
        tell("flag", label, "", outcome);
    }

    static void flags(Connection operator, String flag) throws SQLException {
        UUID user = UUID.randomUUID();
        change(operator, flag, user, "positional", true,
            "SELECT update_feature_flag(?, ?, ?, ?)", s -> {
                s.setString(1, flag);
                s.setBoolean(2, true);
                s.setInt(3, 100);
                s.setString(4, "deploy");
            });
        change(operator, flag, user, "off", false, "SELECT update_feature_flag(?, ?, ?)", s -> {
            s.setString(1, flag);
            s.setBoolean(2, false);
            s.setNull(3, Types.INTEGER);
        });
        change(operator, flag, user, "update", true,
            "UPDATE feature_flags SET is_enabled = ?, rollout_percentage = ?,"
            + " target_user_ids = ? WHERE flag_key = ?", s -> {
                s.setBoolean(1, true);
                s.setLong(2, 0);
                s.setArray(3, operator.createArrayOf("uuid", new Object[] {user}));
                s.setString(4, flag);
            });
    }

    static void calls(String flag) throws Exception {
        try (Connection service = connect("service")) {
            events(service);
            webhooks(service);
        }
        try (Connection operator = connect("oncall")) {
            flags(operator, flag);
        }
    }

    public static void main(String[] words) throws Exception {
        if (words[0].equals("calls")) calls(words[1]);
        else traffic(words[1], Double.parseDouble(words[2]));
    }
}
