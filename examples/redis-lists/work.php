<?php
/** php work.php [COUNT]: an existing worker; takes COUNT jobs (0: for ever) and prints them. REDIS_PORT says where. */
declare(strict_types=1);

$redis = new Redis();
$redis->connect('127.0.0.1', (int) (getenv('REDIS_PORT') ?: 6379));
$redis->setOption(Redis::OPT_READ_TIMEOUT, -1);
for ($left = (int) ($argv[1] ?? 0); ; ) {
    [, $json] = $redis->blPop(['data_queue'], 0);
    // A job may come twice: what is done with it must not mind.
    echo 'worked on ', json_encode(json_decode($json, true)), "\n";
    if ($left > 0 && --$left === 0) {
        break;
    }
}
