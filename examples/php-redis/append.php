<?php
/** php append.php TOPIC DATA [KEY]: appends a record; prints its partition and offset. REDIS_HOST, REDIS_PORT, TANDEM_PREFIX say where. */
declare(strict_types=1);

require __DIR__ . '/tandem.php';

[, $topic, $data] = $argv;
$redis = new Redis();
$redis->connect(getenv('REDIS_HOST') ?: '127.0.0.1', (int) (getenv('REDIS_PORT') ?: 6379));
$tandem = new Tandem($redis, getenv('TANDEM_PREFIX') ?: 'tandem');

// Sent again with the same producer and sequence, the record is stored once.
$producer = 'php-' . bin2hex(random_bytes(8));
[$partition, $offset] = $tandem->append($topic, $data, $argv[3] ?? null, $producer, 1);
[, $again] = $tandem->append($topic, $data, $argv[3] ?? null, $producer, 1);
echo "$partition:$offset" . ($again === $offset ? '' : " and $again") . "\n";
