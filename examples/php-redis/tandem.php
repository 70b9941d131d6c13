<?php
/**
 * Tandem's topics in Redis, from PHP: appends by Tandem's own Redis function, reads by XREAD. For Redis 7 or Valkey with the phpredis extension; one
 * server or a master behind Sentinel. What is in Redis and what the functions promise: docs/redis.md.
 */
declare(strict_types=1);

final class Tandem
{
    private const ATTRIBUTES = 0x80000000;
    private const NO_KEY = 0xFFFF;

    private int $shards;

    public function __construct(private readonly Redis $redis, private readonly string $prefix = 'tandem')
    {
        // Fixed when a Tandem node makes the store.
        $shards = $redis->hGet("{{$prefix}}:catalog", 'shards');
        if ($shards === false) {
            throw new RuntimeException("no Tandem store with the prefix \"$prefix\" here: start a node with this Redis first");
        }
        $this->shards = (int) $shards;
    }

    /**
     * Appends one record. With a producer (any id of your own) and its sequence, which rises by one per record, it is stored once, however often it is sent:
     * send it again if you got no answer. Returns [partition, offset]; the offset is -1 if it was stored before and the place is no longer known.
     */
    public function append(string $topic, string $data, ?string $key = null, ?string $producer = null, int $sequence = 0): array
    {
        $partition = $this->partitionOf($topic, $key ?? $producer);
        $region = $key === null ? $data : pack('vV', strlen($key), 0) . $key . $data;
        // The length of one record without attributes is that of the data.
        $lengths = $key === null ? '' : pack('V', strlen($region) | self::ATTRIBUTES);
        $keys = [$this->key($topic, $partition, 'log'), $this->key($topic, $partition, 'meta'), $this->key($topic, $partition, 'marks')];
        $args = ['', '', '1', "$region\n", $lengths];
        if ($producer !== null) {
            array_push($keys, $this->key($topic, $partition, 'producers'), $this->key($topic, $partition, 'origins'));
            array_push($args, $producer, (string) $sequence);
        }
        $answer = $this->call('append', $this->tagOf($topic, $partition), $keys, $args);
        if ($answer[0] !== 'OK') {
            throw new RuntimeException('Tandem refused the record: ' . implode(' ', $answer));
        }
        return [$partition, $answer[3]];
    }

    /**
     * Waits up to $waitMs for entries after $id of a partition ('0' begins at the oldest). Returns [id => records], each record with offset, time
     * (ms), key, headers, data. Go on from the last id. After a failover that lost records the same offsets may come again with other records: a
     * reader that must know it asks tandem1_read, which says so.
     */
    public function read(string $topic, int $partition, string $id, int $waitMs): array
    {
        $log = $this->key($topic, $partition, 'log');
        $streams = $this->redis->xRead([$log => $id], 100, $waitMs);
        return self::withRecords($streams[$log] ?? []);
    }

    /** As Tandem's own clients choose it: by the key (as Kafka's default partitioner does), or at random. */
    public function partitionOf(string $topic, ?string $key): int
    {
        $json = $this->redis->hGet("{{$this->prefix}}:topics", $topic);
        if ($json === false) {
            throw new RuntimeException("no topic $topic");
        }
        $partitions = json_decode($json, true)['partitions'];
        return $key === null ? random_int(0, $partitions - 1) : self::hash($key) % $partitions;
    }

    private function call(string $name, string $tag, array $keys, array $args): array
    {
        $shard = "{{$tag}}:shard";
        $command = ["tandem1_$name", (string) (count($keys) + 1), $shard, ...$keys, '', ...$args];
        $answer = $this->redis->rawCommand('FCALL', ...$command);
        if (is_array($answer) && $answer[0] === 'HISTORY') {
            // Another server counts since a failover or restart, and no node has used it yet.
            $names = [bin2hex(random_bytes(6)), bin2hex(random_bytes(4))];
            $this->redis->rawCommand('FCALL', 'tandem1_adopt', '1', $shard, ...$names, ...['0', '0']);
            $answer = $this->redis->rawCommand('FCALL', ...$command);
        }
        if (!is_array($answer)) {
            throw new RuntimeException('Redis: ' . $this->redis->getLastError());
        }
        return $answer;
    }

    private static function withRecords(array $entries): array
    {
        foreach ($entries as $id => $fields) {
            $entries[$id] = self::recordsOf((string) $id, $fields);
        }
        return $entries;
    }

    private static function recordsOf(string $id, array $fields): array
    {
        [$offset] = array_map('intval', explode('-', $id));
        $data = $fields['data'];
        $lengths = isset($fields['lengths']) ? array_values(unpack('V*', $fields['lengths'])) : [strlen($data) - 1];
        $records = [];
        $at = 0;
        foreach ($lengths as $length) {
            $bytes = $length & ~self::ATTRIBUTES;
            $region = substr($data, $at, $bytes);
            $at += $bytes + 1;
            [$key, $headers] = [null, null];
            if ($length & self::ATTRIBUTES) {
                ['key' => $keyBytes, 'headers' => $headerBytes] = unpack('vkey/Vheaders', $region);
                $keyEnd = 6 + ($keyBytes === self::NO_KEY ? 0 : $keyBytes);
                $key = $keyBytes === self::NO_KEY ? null : substr($region, 6, $keyBytes);
                $headers = $headerBytes === 0 ? null : json_decode(substr($region, $keyEnd, $headerBytes), true);
                $region = substr($region, $keyEnd + $headerBytes);
            }
            $records[] = ['offset' => $offset++, 'time' => (int) $fields['time'], 'key' => $key, 'headers' => $headers, 'data' => $region];
        }
        return $records;
    }

    private function tagOf(string $topic, int $partition): string
    {
        return $this->prefix . ':' . ($this->shards === 1 ? 0 : self::hash("$topic/$partition") % $this->shards);
    }

    private function key(string $topic, int $partition, string $part): string
    {
        return '{' . $this->tagOf($topic, $partition) . "}:$part:$topic:$partition";
    }

    /** murmur2 as Kafka's clients have it, without the sign. */
    private static function hash(string $text): int
    {
        $m = 0x5bd1e995;
        $times = static fn (int $a): int => ((($a & 0xFFFF) * $m) + (((($a >> 16) * $m) & 0xFFFF) << 16)) & 0xFFFFFFFF;
        $h = (0x9747b28c ^ strlen($text)) & 0xFFFFFFFF;
        $whole = strlen($text) & ~3;
        for ($i = 0; $i < $whole; $i += 4) {
            $k = $times(unpack('V', $text, $i)[1]);
            $h = $times($h) ^ $times($k ^ ($k >> 24));
        }
        for ($i = strlen($text) - 1; $i >= $whole; $i--) {
            $h ^= ord($text[$i]) << (8 * ($i - $whole));
        }
        if ($whole < strlen($text)) {
            $h = $times($h);
        }
        $h = $times($h ^ ($h >> 13));
        return ($h ^ ($h >> 15)) & 0x7FFFFFFF;
    }
}
