<?php
/** php push.php JSON...: what existing code does; nothing in it knows of Tandem. REDIS_PORT says where. */
declare(strict_types=1);

$redis = new Redis();
$redis->connect('127.0.0.1', (int) (getenv('REDIS_PORT') ?: 6379));
foreach (array_slice($argv, 1) as $json) {
    $redis->lPush('message_queue', $json);
}
