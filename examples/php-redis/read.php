<?php
/** php read.php TOPIC PARTITION [COUNT]: prints records from the oldest one on, as they come; ends after COUNT. */
declare(strict_types=1);

require __DIR__ . '/tandem.php';

[, $topic, $partition] = $argv;
$left = (int) ($argv[3] ?? PHP_INT_MAX);
$redis = new Redis();
$redis->connect(getenv('REDIS_HOST') ?: '127.0.0.1', (int) (getenv('REDIS_PORT') ?: 6379));
$tandem = new Tandem($redis, getenv('TANDEM_PREFIX') ?: 'tandem');

for ($id = '0'; $left > 0; ) {
    foreach ($tandem->read($topic, (int) $partition, $id, 1000) as $id => $records) {
        foreach ($records as ['offset' => $offset, 'key' => $key, 'data' => $data]) {
            echo "$topic $partition:$offset " . ($key ?? '-') . " $data\n";
            $left--;
        }
    }
}
